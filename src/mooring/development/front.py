"""The door of a server for development: open to programs here, to no page."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

from mooring.api.connections import ABORT
from mooring.development.world import World
from mooring.protocol.serialize import CONTENT_TYPE

_OWN = "/mooring/"


class Front:
    """Lets requests through to the application of now, and loses answers.

    Whoever can make this host's browser show a page can have it send requests here, also with a
    name of their own that leads to 127.0.0.1. A browser says so: by `Origin`, and by `Host`.
    """

    def __init__(self, world: Callable[[], World]) -> None:
        """`world` gives the one of now."""
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if (why := stranger(headers)) is not None:
            await _refuse(send, why)
            return
        operation, world = _operation(scope, headers), self._world()

        async def answer(message: Message) -> None:
            answered = message["type"] == "http.response.start" and message["status"] == 200
            if answered and world.stage.take_loss(operation):
                scope["extensions"][ABORT]["call"]()
            # What is sent on a connection that has ended goes nowhere.
            await send(message)

        await world(scope, receive, answer)


def stranger(headers: dict[bytes, str]) -> str | None:
    """Why a request is not one of this host's own programs; None if it is."""
    host = headers.get(b"host", "")
    if not _is_loopback(f"//{host}"):
        return f"the header Host must name this host's loopback interface, not {host[:100]!r}"
    origin = headers.get(b"origin")
    if origin is not None and not _is_loopback(origin):
        return f"requests of the page {origin[:100]!r} are not answered"
    if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin", "same-site"):
        return "requests of pages from elsewhere are not answered"
    return None


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _operation(scope: Scope, headers: dict[bytes, str]) -> str:
    """What is asked for, as `lose` calls it."""
    path: str = scope["path"]
    if path.startswith(_OWN):
        return path.removeprefix(_OWN)
    return headers.get(b"x-amz-target", "").rpartition(".")[2]


async def _refuse(send: Send, why: str) -> None:
    told: dict[str, Any] = {
        "__type": "AccessDeniedException",
        "message": f"A server for development is for programs of its own host: {why}.",
    }
    body = json.dumps(told).encode()
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        # The rest of the request is not read.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
