"""A front door with handlers of the tests' own, called without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from mooring.api.app import create_app
from mooring.api.exchange import Handler
from mooring.api.shared_audit import SharedAudit
from mooring.config.settings import Limits, Throttle
from mooring.model.access import UNBOUND, Access
from mooring.model.clock import ManualClock
from mooring.model.ids import SequentialIds
from mooring.observe.audit import AuditLog
from mooring.protocol import service_model, sigv4
from mooring.service.context import Context
from mooring.service.credentials.keys import Key
from mooring.service.own.table import OWN_REQUESTS
from mooring.service.table import OPERATIONS

MODEL = service_model.load()
KEY, SECRET = "AKIAMOORINGEXAMPLE77", "s3cr3t-of-the-tests"
NOW_MS = 1_795_424_977_000
MOMENT = "20261123T090937Z"
HOST = "testserver"


class Reply:
    """What came back; names of headers in lower case."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.content = b""

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class Door:
    """The door, and what its handlers were called with.

    Operations and own requests without a handler of their own answer with nothing.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        throttle: Throttle | None = None,
        audit_log: AuditLog | None = None,
        shared_audit: SharedAudit | None = None,
        access: Access = UNBOUND,
        **handlers: Handler,
    ) -> None:
        self.calls: list[tuple[str, Context, Mapping[str, Any]]] = []
        self.clock = ManualClock(NOW_MS)
        self.app = create_app(
            model=MODEL,
            handlers={name: self._noting(name, handlers) for name in MODEL.operations},
            own_requests=OWN_REQUESTS,
            own_handlers={name: self._noting(name, handlers) for name in OWN_REQUESTS},
            find_key={KEY: Key(KEY, SECRET, access=access)}.get,
            regions=["us-east-2", "us-west-2"],
            clock=self.clock,
            ids=SequentialIds(),
            limits=limits or Limits(),
            throttles=throttle,
            entries=OPERATIONS,
            audit_log=audit_log,
            shared_audit=shared_audit,
        )

    def _noting(self, name: str, handlers: Mapping[str, Handler]) -> Handler:
        def handle(context: Context, params: Mapping[str, Any]) -> Mapping[str, Any]:
            self.calls.append((name, context, params))
            handler = handlers.get(name)
            return {} if handler is None else handler(context, params)

        return handle

    def call(
        self,
        operation: str,
        body: bytes | Mapping[str, Any] = b"{}",
        headers: Mapping[str, str] | None = None,
        signing: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a signed request; `headers` are sent and signed besides the usual ones."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = signed(operation, content, headers, **(signing or {}))
        return self.send("POST", "/", sent, [content])

    def ask(self, question: str, query: str = "", **signing: str) -> Reply:
        """Send a signed question."""
        target = f"/mooring/{question}" + (f"?{query}" if query else "")
        sent = {"Host": HOST, **signature("GET", target, {"Host": HOST}, b"", **signing)}
        return self.send("GET", target, sent)

    def act(
        self,
        action: str,
        body: bytes | Mapping[str, Any] = b"{}",
        content_type: str = "application/json",
    ) -> Reply:
        """Send a signed action."""
        target = f"/mooring/{action}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Host": HOST, "Content-Type": content_type}
        sent = {**sent, **signature("POST", target, sent, content)}
        return self.send("POST", target, sent, [content])

    def send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        parts: Iterable[bytes] = (),
    ) -> Reply:
        """Send a request as it is, its body in parts."""
        return asyncio.run(self.asend(method, target, headers or {}, parts))

    async def asend(
        self, method: str, target: str, headers: Mapping[str, str], parts: Iterable[bytes] = ()
    ) -> Reply:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "client": ("192.0.2.7", 40000),
            "root_path": "",
            "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        }
        waiting = iter(parts)
        reply = Reply()

        async def receive() -> dict[str, Any]:
            part = next(waiting, None)
            return {"type": "http.request", "body": part or b"", "more_body": part is not None}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {name.decode(): text.decode() for name, text in message["headers"]}
            else:
                reply.content += message.get("body", b"")

        await self.app(scope, receive, send)
        return reply


def signed(
    operation: str,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    path: str = "/",
    **signing: str,
) -> dict[str, str]:
    """The headers of a signed request."""
    sent = {
        "Host": HOST,
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"Lightsail_20161128.{operation}",
        **(headers or {}),
    }
    return {**sent, **signature("POST", path, sent, body, **signing)}


def signature(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: str = KEY,
    secret: str = SECRET,
    region: str = "us-east-2",
) -> dict[str, str]:
    return sigv4.sign(method, target, headers, body, key, secret, region, "lightsail", MOMENT)


def error_of(reply: Reply) -> tuple[int, str, str]:
    """Status, type and message; and both places of the type say the same."""
    body = reply.json()
    assert reply.headers["x-amzn-errortype"] == body["__type"]
    return reply.status, body["__type"], body["message"]
