"""Certificates, control characters, and what is not tried again."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest

from mooring.cli.connection import transport
from tests.cli.conftest import Result, Run
from tests.cli.recording_server import RecordingServer
from tests.clients.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def secure(server: RecordingServer, authority: Authority, tmp_path: Path) -> str:
    """The recording server behind TLS; its address."""
    authority.sign(tmp_path / "cert.pem", tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.secure(context)
    return server.url.replace("http:", "https:")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; nothing waits."""
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    return asked


def ask(mooring: Run, url: str, *more: str) -> Result:
    return mooring("get-disks", "--endpoint-url", url, *more)


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_a_bundle_in_the_environment_is_trusted(
    mooring: Run, secure: str, authority: Authority, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(authority.bundle))

    assert ask(mooring, secure).status == 0


def test_the_nearer_bundle_wins(
    mooring: Run, secure: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
    assert ask(mooring, secure).status == 0

    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere")
    assert ask(mooring, secure, "--ca-bundle", str(authority.bundle)).status == 0


def test_the_variable_of_openssl_is_not_looked_at(
    mooring: Run, secure: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))

    assert "CERTIFICATE_VERIFY_FAILED" in ask(mooring, secure).stderr


@pytest.mark.parametrize(
    ("bundle", "told"),
    [
        (".", "[Errno 21] Is a directory: ."),
        ("nowhere.pem", "[Errno 2] No such file or directory: nowhere.pem"),
        ("empty.pem", "no certificate or crl found"),
        ("", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_a_bundle_that_does_not_help_is_told_at_once(
    mooring: Run, secure: str, home: Path, no_pauses: list[float], bundle: str, told: str
) -> None:
    (home / "empty.pem").write_text("")
    result = ask(mooring, secure, "--ca-bundle", bundle)

    assert (result.status, result.stdout, no_pauses) == (255, "", [])
    assert result.stderr.startswith(f"\nSSL validation failed for {secure}/ ")
    assert told in result.stderr


def test_a_certificate_of_another_host_is_told_at_once(
    mooring: Run, secure: str, authority: Authority, no_pauses: list[float]
) -> None:
    url = secure.replace("127.0.0.1", "127.1")
    result = ask(mooring, url, "--ca-bundle", str(authority.bundle))

    assert "mismatch, certificate is not valid for" in result.stderr
    assert no_pauses == []


def test_plain_http_where_tls_was_expected_is_told_at_once(
    mooring: Run, server: RecordingServer, no_pauses: list[float]
) -> None:
    result = ask(mooring, server.url.replace("http:", "https:"))

    assert result.stderr.startswith("\nSSL validation failed for https://")
    assert no_pauses == []


def test_a_name_that_does_not_exist_is_told_at_once(mooring: Run, no_pauses: list[float]) -> None:
    result = ask(mooring, "http://nothing.invalid:1")

    assert result.stderr == '\nCould not connect to the endpoint URL: "http://nothing.invalid:1/"\n'
    assert no_pauses == []


def test_a_port_where_nobody_listens_is_tried_again(mooring: Run, no_pauses: list[float]) -> None:
    assert ask(mooring, "http://127.0.0.1:1").status == 255
    assert len(no_pauses) == 4


def test_not_checking_is_told(mooring: Run, secure: str, server: RecordingServer) -> None:
    result = ask(mooring, secure, "--no-verify-ssl")

    assert result.status == 0
    assert result.stderr.startswith("warning: The server's certificate is not checked")
    assert result.stderr.count("\n") == 1


def test_without_tls_there_is_nothing_to_tell(mooring: Run, server: RecordingServer) -> None:
    assert ask(mooring, server.url, "--no-verify-ssl").stderr == ""


@pytest.mark.parametrize("sign", ["\r", "\n", "\r\nX-Injected: 1", "\x00", "\x1b[1m", "\x7f", "\t"])
@pytest.mark.parametrize(
    "variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_keys_with_control_characters_are_not_sent(
    mooring: Run, server: RecordingServer, home: Path, monkeypatch: pytest.MonkeyPatch,
    variable: str, sign: str,
) -> None:  # fmt: skip
    values = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    values[variable] += sign
    program = home / "program"
    members = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    # From the environment, unless it cannot hold the character, and from a program.
    sources: list[dict[str, str]] = [{"AWS_ACCESS_KEY_ID": ""}]
    if sign != "\x00":
        sources.append(values)
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text("[default]\ncredential_process = /bin/cat program\n")
    program.write_text(
        json.dumps({"Version": 1, **dict(zip(members, values.values(), strict=True))})
    )
    for source in sources:
        for name, value in source.items():
            monkeypatch.setenv(name, value)
        result = ask(mooring, server.url)

        assert result.status == 255
        assert "contains the control character" in result.stderr
        assert values[variable] not in result.stderr
    assert server.requests == []


@pytest.mark.parametrize("letter", ["\r", "\n", "\x00", "\x1f", "\x7f"])
def test_nothing_that_would_make_another_header_leaves(
    server: RecordingServer, letter: str
) -> None:
    for target, headers in ((f"/a{letter}b", {}), ("/", {"X-A": f"a{letter}b"})):
        with pytest.raises(transport.TransportError, match="control character") as raised:
            transport.send("GET", server.url + target, headers, b"", transport.Settings())
        assert raised.value.lasting
    assert server.requests == []
