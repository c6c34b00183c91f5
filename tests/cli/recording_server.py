"""A server that records requests and answers from a script."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recorded:
    """A request: method, path, X-Amz-Target and body, and the signature's credential scope."""

    method: str
    path: str
    target: str | None
    content_type: str | None
    body: bytes
    scope: str | None


@dataclass(frozen=True)
class Scripted:
    """An answer: status, body, and further headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer(value: Any, status: int = 200) -> Scripted:
    return Scripted(status, json.dumps(value).encode())


class RecordingServer:
    """Answers the n-th request with the n-th scripted answer; the last one is repeated."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.script: list[Scripted] = [answer({})]
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner._handle(self)

            def do_GET(self) -> None:
                owner._handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def reset(self, script: list[Scripted]) -> None:
        self.requests = []
        self.script = script

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        authorization = handler.headers.get("Authorization")
        scope = None
        if authorization is not None:
            scope = authorization.partition("Credential=")[2].partition(",")[0]
            # The day may change between two requests.
            scope = "/".join(part for i, part in enumerate(scope.split("/")) if i != 1)
        self.requests.append(
            Recorded(
                handler.command,
                handler.path,
                handler.headers.get("X-Amz-Target"),
                handler.headers.get("Content-Type"),
                body,
                scope,
            )
        )
        reply = self.script[min(len(self.requests), len(self.script)) - 1]
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)
