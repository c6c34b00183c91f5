"""What every channel promises, and what each does with a message."""

from __future__ import annotations

import base64
import email
import email.policy
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from mooring.model.clock import SystemClock
from mooring.model.errors import NotifyError
from mooring.model.trouble import KnownTrouble, Trouble, TroubleKind, Untold
from mooring.notify.command import Command
from mooring.notify.interface import Channel
from mooring.notify.mail import PLAIN, STARTTLS, Mail, MailServer
from mooring.notify.memory import MemoryChannel
from mooring.notify.message import SHOWN, Message
from mooring.notify.webhook import Webhook, call
from tests.clients.certificates import Authority
from tests.e2e.processes import until
from tests.notify.receivers import (
    SmtpReceiver,
    http_receiver,
    silent_receiver,
    smtp_receiver,
)

AT = 1_795_811_583_000
AWAY = KnownTrouble(
    trouble=Trouble(
        kind=TroubleKind.VAULT_AWAY, text="the vault of home cannot be used", region="home"
    ),
    since_ms=AT - 7_200_000,
    noted_ms=AT,
)
MESSAGE = Message("boat", AT, Untold(begun=(AWAY,)))
SECRET = "s3cr3t-in-a-path"
SHORTLY = 0.3


def mail(port: int, security: str = PLAIN, seconds: float = 5.0) -> Mail:
    server = MailServer(host="127.0.0.1", port=port, security=security, seconds=seconds)
    return Mail(server, "boat@example.org", ["anna@example.org", "ben@example.org"])


class Working:
    """Channels that work, and what each of them has delivered."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self._http = opened.enter_context(http_receiver())
        self._smtp = opened.enter_context(smtp_receiver())
        self._file = folder / "told"
        self._memory = MemoryChannel()
        self.channels: dict[str, Channel] = {
            "webhook": Webhook(lambda: f"{self._http.url}/{SECRET}"),
            "mail": mail(self._smtp.port),
            "command": Command(f'(echo "$MOORING_SUBJECT"; cat) >> {self._file}'),
            "memory": self._memory,
        }

    def delivered(self, name: str) -> str:
        """All that came, as text."""
        if name == "webhook":
            return "".join(body["text"] for body in self._http.posted)
        if name == "mail":
            parse = email.message_from_string
            mails = [parse(text, policy=email.policy.default) for _, _, text in self._smtp.mails]
            return "".join(f"{one['Subject']}\n{one.get_content()}" for one in mails)
        if name == "command":
            return self._file.read_text() if self._file.exists() else ""
        return "".join(f"{one.subject}\n{one.text}" for one in self._memory.sent)


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Working]:
    with ExitStack() as opened:
        yield Working(opened, tmp_path)


NAMES = ("webhook", "mail", "command", "memory")


@pytest.mark.parametrize("name", NAMES)
def test_a_message_arrives_with_all_it_says(working: Working, name: str) -> None:
    working.channels[name].send(MESSAGE)

    told = working.delivered(name)
    assert working.channels[name].name == name
    assert "[Mooring boat] the vault of home cannot be used" in told
    assert "NEW critical: the vault of home cannot be used" in told
    assert "2026-11-27 18:33:03 UTC" in told


@pytest.mark.parametrize("name", NAMES)
def test_messages_arrive_one_by_one(working: Working, name: str) -> None:
    working.channels[name].send(MESSAGE)
    working.channels[name].send(Message("boat", AT, Untold(ended=(AWAY,))))

    told = working.delivered(name)
    assert told.index("NEW critical") < told.index("OVER critical")


def failing(opened: ExitStack) -> dict[str, Channel]:
    """Channels that each fail in a way of their own."""
    http = opened.enter_context(http_receiver())
    http.status = 500
    moved = opened.enter_context(http_receiver())
    moved.status = 302
    smtp = opened.enter_context(smtp_receiver())
    smtp.refuses = True
    silent = opened.enter_context(silent_receiver())
    memory = MemoryChannel()
    memory.failing = "as told"
    return {
        "webhook that fails": Webhook(lambda: f"{http.url}/{SECRET}"),
        "webhook that moved": Webhook(lambda: f"{moved.url}/{SECRET}"),
        "webhook that hangs": Webhook(lambda: f"http://127.0.0.1:{silent}/{SECRET}", SHORTLY),
        "webhook that is away": Webhook(lambda: f"http://127.0.0.1:1/{SECRET}"),
        "webhook without a host": Webhook(lambda: f"http:///{SECRET}"),
        "mail that is refused": mail(smtp.port),
        "mail without the encryption wanted": mail(smtp.port, STARTTLS),
        "mail that hangs": mail(silent, seconds=SHORTLY),
        "mail that is away": mail(1),
        "command that fails": Command("echo not today >&2; exit 3"),
        "command that hangs": Command("sleep 60 & sleep 60", SHORTLY),
        "memory": memory,
    }


def test_what_cannot_be_sent_is_told_soon_and_without_secrets() -> None:
    clock = SystemClock()
    with ExitStack() as opened:
        for name, channel in failing(opened).items():
            began = clock.monotonic()
            with pytest.raises(NotifyError) as raised:
                channel.send(MESSAGE)
            assert clock.monotonic() - began < 10, name
            assert SECRET not in str(raised.value), name
            assert raised.value.__cause__ is None
            assert str(raised.value), name


def test_a_command_that_hangs_leaves_nothing_running(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = Command(f"sleep 60 & echo $! $$ > {pids}; wait", SHORTLY)

    with pytest.raises(NotifyError, match=r"ended after 0\.3 s"):
        command.send(MESSAGE)
    for pid in pids.read_text().split():
        until(partial(_has_ended, pid), "the process to end")
    assert os.getpgid(0) == os.getpgrp()


def _has_ended(pid: str) -> bool:
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_webhook_gets_fields_for_programs_and_a_heartbeat_is_a_get() -> None:
    with http_receiver() as http:
        Webhook(lambda: http.url).send(MESSAGE)
        call(f"{http.url}/ping/1", "heartbeat")

    (body,) = http.posted
    assert (body["server"], body["at"], body["test"]) == ("boat", AT / 1000, False)
    (told,) = body["troubles"]
    assert told["state"] == "began"
    assert (told["kind"], told["severity"]) == ("vault-away", "critical")
    assert (told["region"], told["since"]) == ("home", (AT - 7_200_000) / 1000)
    assert http.asked == ["/ping/1"]


def test_mail_has_its_envelope_and_one_line_of_subject() -> None:
    hostile = Trouble(kind=TroubleKind.DISK_NOT_WELL, text="disk\r\nBcc: eve@example.org\r\n\r\nx")
    known = KnownTrouble(trouble=hostile, since_ms=AT, noted_ms=AT)
    with smtp_receiver() as smtp:
        mail(smtp.port).send(Message("boat", AT, Untold(begun=(known,))))

    ((sender, recipients, text),) = smtp.mails
    assert sender == "boat@example.org"
    assert recipients == ["anna@example.org", "ben@example.org"]
    parsed = email.message_from_string(text)
    assert parsed["Bcc"] is None
    assert parsed["Auto-Submitted"] == "auto-generated"


@contextmanager
def mail_with_tls(folder: Path) -> Iterator[tuple[SmtpReceiver, Mail, Path]]:
    """A receiver that wants a login, mail that logs in there, and the bundle of its authority."""
    authority = Authority(folder)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    authority.sign(certificate, key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with smtp_receiver(tls) as smtp:
        server = MailServer(
            host="127.0.0.1",
            port=smtp.port,
            user="mooring",
            password=lambda: SECRET,
            seconds=5.0,
        )
        yield smtp, Mail(server, "boat@example.org", ["anna@example.org"]), authority.bundle


def test_mail_logs_in_where_the_certificate_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_with_tls(tmp_path) as (smtp, channel, bundle):
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        channel.send(MESSAGE)

    assert len(smtp.mails) == 1
    assert [base64.b64decode(one).split(b"\0") for one in smtp.logins] == [
        [b"", b"mooring", SECRET.encode()]
    ]


def test_no_password_is_sent_to_whoever_has_another_certificate(tmp_path: Path) -> None:
    with (
        mail_with_tls(tmp_path) as (smtp, channel, _),
        pytest.raises(NotifyError, match=r"the mail server 127\.0\.0\.1 cannot be used") as raised,
    ):
        channel.send(MESSAGE)

    assert SECRET not in str(raised.value)
    assert (smtp.logins, smtp.mails) == ([], [])


def test_a_text_lists_some_of_many() -> None:
    many = tuple(AWAY for _ in range(SHOWN + 7))
    message = Message("boat", AT, Untold(begun=many, lasting=(AWAY,)))

    assert message.subject == f"[Mooring boat] {SHOWN + 8} troubles: {SHOWN + 7} new, 1 lasting"
    assert message.text.count("NEW critical") == SHOWN
    assert "NEW: and 7 more" in message.text
    assert len(message.fields["troubles"]) == SHOWN + 8


def test_a_test_says_that_it_is_one() -> None:
    message = Message("boat", AT)

    assert "test" in message.subject
    assert message.fields["test"] is True
