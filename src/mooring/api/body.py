"""Reads a request's body within limits of size and time."""

from __future__ import annotations

from anyio import fail_after
from starlette.requests import ClientDisconnect

from mooring.api.exchange import Exchange
from mooring.model.counts import counted
from mooring.model.errors import (
    InvalidInputException,
    RequestTimeoutException,
    SerializationException,
)

DRAINED_BYTES = 16 * 1024 * 1024
"""How much of a body that is too large is read and thrown away, at most.

Most clients send all before they read: to close the connection at once would show them a broken
one, and not the reason.
"""


async def read_body(exchange: Exchange) -> None:
    """Read the body. Raises errors for those too large, too slow, or broken off."""
    limits = exchange.door.limits
    try:
        with fail_after(limits.request_seconds):
            size = await _read(exchange, limits.body_bytes)
    except TimeoutError:
        raise RequestTimeoutException(
            f"The request body did not arrive within {counted(limits.request_seconds, 'second')}. "
            "Send it faster; the server's limits.request_seconds sets the limit."
        ) from None
    except ClientDisconnect:
        raise SerializationException(
            "The client disconnected before its request was read."
        ) from None
    if size > limits.body_bytes:
        raise InvalidInputException(
            f"The request body is larger than {counted(limits.body_bytes, 'byte')}. "
            "Send less; the server's limits.body_bytes sets the limit.",
            "RequestTooLarge",
        )


async def _read(exchange: Exchange, most: int) -> int:
    """Read the body if it has at most that many bytes; returns its size as far as it was seen."""
    stated = exchange.request.headers.get("content-length", "")
    # Python reads no number of thousands of digits.
    if stated.isdecimal() and (size := int(stated[:20])) > DRAINED_BYTES:
        return size
    parts: list[bytes] = []
    size = 0
    async for part in exchange.request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        else:
            parts.clear()
        if size > DRAINED_BYTES:
            return size
    exchange.body_is_read = True
    exchange.body = b"".join(parts)
    return size
