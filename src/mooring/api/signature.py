"""Identifies the caller by the request's signature."""

from __future__ import annotations

from starlette.requests import Request

from mooring.api.exchange import Exchange
from mooring.protocol.verify import SignedRequest, verify
from mooring.service.credentials.keys import Key


async def authenticate(exchange: Exchange) -> None:
    """Check the signature; it says who asks, and in which region."""
    found: list[Key] = []

    def secret_of(key_id: str) -> str | None:
        key = exchange.door.find_key(key_id)
        found.extend([key] if key else [])
        return None if key is None else key.secret

    identity = verify(
        _as_sent(exchange.request, exchange.body),
        secret_of=secret_of,
        regions=exchange.door.regions,
        service=exchange.door.model.signing_name,
        now_ms=exchange.received_ms,
    )
    exchange.caller, exchange.region = identity.access_key, identity.region
    exchange.access = found[0].access
    exchange.door.note_use(exchange.caller)


def _as_sent(request: Request, body: bytes) -> SignedRequest:
    """The request as it came over the wire: signatures cover bytes, not what they mean."""
    return SignedRequest(
        request.method,
        _text(target_of(request)),
        [(_text(name), _text(value)) for name, value in request.headers.raw],
        body,
    )


def target_of(request: Request) -> bytes:
    """What was asked for, as it came over the wire."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return path + b"?" + query if query else path


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
