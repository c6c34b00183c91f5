"""A message by mail, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from mooring.model.errors import NotifyError
from mooring.notify.message import Message

SECONDS = 15.0
"""For how long the mail server may be silent."""

TLS, STARTTLS, PLAIN = "tls", "starttls", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail is handed in: `security` is one of TLS, STARTTLS and PLAIN.

    Without a `user` nobody logs in; `password` reads the password each time.
    """

    host: str
    port: int
    security: str = STARTTLS
    user: str = ""
    password: Callable[[], str] = str
    seconds: float = SECONDS


class Mail:
    """Mails messages as plain text."""

    name = "mail"

    def __init__(self, server: MailServer, sender: str, recipients: Sequence[str]) -> None:
        self._server, self._sender, self._recipients = server, sender, list(recipients)

    def send(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._recipients)
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms / 1000, UTC))
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        where = f"the mail server {self._server.host}"
        try:
            with self._connected() as smtp:
                smtp.send_message(mail)
            return
        except smtplib.SMTPAuthenticationError as error:
            problem = f"refuses the user or the password ({error.smtp_code})"
        except smtplib.SMTPResponseException as error:
            problem = f"answers {error.smtp_code}"
        except smtplib.SMTPRecipientsRefused:
            problem = "refuses the recipients"
        except TimeoutError:
            problem = f"has not answered for {self._server.seconds:g} s"
        except (OSError, smtplib.SMTPException, ValueError) as error:
            problem = f"cannot be used: {type(error).__name__}: {error}"
        # What libraries raise could show what was sent.
        raise NotifyError(f"{where} {problem}") from None

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        password = server.password() if server.user else ""
        smtp: smtplib.SMTP
        if server.security == TLS:
            context = ssl.create_default_context()
            smtp = smtplib.SMTP_SSL(
                server.host, server.port, timeout=server.seconds, context=context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=server.seconds)
        try:
            if server.security == STARTTLS:
                smtp.starttls(context=ssl.create_default_context())
            if server.user:
                smtp.login(server.user, password)
        except BaseException:
            smtp.close()
            raise
        return smtp
