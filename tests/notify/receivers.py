"""Who receives notifications in tests: real servers on free ports of this host."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HttpReceiver:
    """Keeps the bodies of what is posted, and counts what is asked for; answers `status`."""

    url: str = ""
    status: int = 200
    posted: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def wait(self, seen: Callable[[HttpReceiver], bool], seconds: float = 30.0) -> None:
        """Wait until something was received; fails when the time is up."""
        with changed:
            assert changed.wait_for(lambda: seen(self), seconds), (self.posted, self.asked)

    def troubles(self, state: str) -> list[dict[str, Any]]:
        """All that were told in that state, in the order of their coming."""
        return [one for body in self.posted for one in body["troubles"] if one["state"] == state]


changed = threading.Condition()


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """One that runs as long as the block."""
    received = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(lambda: received.posted.append(json.loads(body)))

        def do_GET(self) -> None:
            self.answer(lambda: received.asked.append(self.path))

        def answer(self, keep: Callable[[], None]) -> None:
            with changed:
                keep()
                changed.notify_all()
            self.send_response(received.status)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


@dataclass
class SmtpReceiver:
    """Keeps mails, with what the envelope says, and logins; refuses all recipients if told to.

    With `tls` it offers STARTTLS, and takes logins after that only.
    """

    port: int = 0
    refuses: bool = False
    tls: ssl.SSLContext | None = None
    logins: list[str] = field(default_factory=list)
    mails: list[tuple[str, list[str], str]] = field(default_factory=list)


@contextmanager
def smtp_receiver(tls: ssl.SSLContext | None = None) -> Iterator[SmtpReceiver]:
    """One that runs as long as the block. It speaks as much SMTP as is needed to hand in mail."""
    received = SmtpReceiver(tls=tls)
    listener = socket.create_server(("127.0.0.1", 0))
    received.port = listener.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(10)
            with client, suppress(OSError):
                if _converse(client, received, greets=True) and received.tls is not None:
                    with received.tls.wrap_socket(client, server_side=True) as secure:
                        _converse(secure, received, greets=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield received
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _converse(client: socket.socket, received: SmtpReceiver, *, greets: bool) -> bool:
    """Talk until the client goes; true if it wants to talk on with TLS."""
    sender, recipients = "", list[str]()
    with client.makefile("rwb") as lines:

        def say(text: str) -> None:
            lines.write(text.encode() + b"\r\n")
            lines.flush()

        if greets:
            say("220 test")
        while line := lines.readline():
            words = line.decode().strip()
            verb = words[:4].upper()
            if verb == "MAIL":
                sender = words.partition(":")[2].split()[0].strip("<>")
                say("250 ok")
            elif verb == "RCPT":
                recipients.append(words.partition(":")[2].strip("<> "))
                say("550 nobody" if received.refuses else "250 ok")
            elif verb == "DATA":
                say("354 go on")
                text = b""
                while (part := lines.readline()) not in (b".\r\n", b""):
                    text += part
                received.mails.append((sender, recipients, text.decode()))
                say("250 kept")
            elif verb == "QUIT":
                say("221 bye")
                return False
            elif verb == "EHLO":
                say("250-test")
                offers = "AUTH PLAIN" if not greets else "STARTTLS" if received.tls else "HELP"
                say(f"250 {offers}")
            elif verb == "STAR":
                say("220 go on")
                return True
            elif verb == "AUTH":
                received.logins.append(words.split()[-1])
                say("235 welcome")
            else:
                say("250 ok")
    return False


@contextmanager
def silent_receiver() -> Iterator[int]:
    """The port of one that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]
