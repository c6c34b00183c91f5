"""Clients' connections: heads bounded in size and time, silent ones closed."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mooring.api.places import Place
from mooring.model.counts import counted

HEAD_BYTES = 64 * 1024
"""Largest head of a request, and of what surrounds its body: sizes of chunks, trailers."""

FRAMING = 8
"""Bytes that may surround each byte of a body: enough for chunks of one byte."""

QUEUED = 32
"""Requests that may wait on one connection for the answers to those before; each takes some KiB."""

LINGER_SECONDS = 5.0
"""How long a client has to read the last answer of a connection that is closed."""

ABORT = "mooring.abort"
"""The extension of ASGI by which a request's connection is ended without an answer."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
)
_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\n"
    b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
)


class Connection(HttpToolsProtocol):
    """One client's connection.

    It is closed if no request begins in the time of an idle one, if a head does not end in the time
    that one has, if a head is too large, and if its answers are not read.
    """

    def __init__(
        self,
        *arguments: Any,
        place: Place | None = None,
        head_seconds: float = 10.0,
        reply_seconds: float = 30.0,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._place = place
        self._head_seconds = head_seconds
        self._reply_seconds = reply_seconds
        self._in_head, self._between = False, True
        self._heads = 0
        self._head_bytes = self._raw_bytes = self._body_bytes = 0
        self._head_is_due: asyncio.TimerHandle | None = None
        self._reply_is_due: asyncio.TimerHandle | None = None
        self._too_large = False

    # --- called by the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        self.timeout_keep_alive_task = self.loop.call_later(
            min(self.timeout_keep_alive, self._head_seconds), self.timeout_keep_alive_handler
        )

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        for timer in (self._head_is_due, self._reply_is_due):
            if timer is not None:
                timer.cancel()
        if self._place is not None:
            self._place.leave()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        heads, was_between = self._heads, self._between
        super().data_received(data)
        # Empty lines between requests belong to the next.
        if self._in_head or (was_between and self._heads == heads):
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_TOO_LARGE, _too_large())
            elif self._head_is_due is None:
                self._head_is_due = self.loop.call_later(self._head_seconds, self._is_late)
        elif self._heads == heads and not self._between:
            self._raw_bytes += len(data)
            if self._raw_bytes > self._body_bytes * FRAMING + HEAD_BYTES:
                self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reply_is_due is None:
            self._reply_is_due = self.loop.call_later(self._reply_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reply_is_due is not None:
            self._reply_is_due.cancel()
            self._reply_is_due = None

    # --- called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"call": self.transport.abort}}
        self._in_head = True

    def on_headers_complete(self) -> None:
        size = (
            len(self.url) + 4 * len(self.headers) + sum(map(len, chain.from_iterable(self.headers)))
        )
        if size > HEAD_BYTES:
            self._too_large = True
            raise ValueError("the head is too large")
        if len(self.pipeline) >= QUEUED:
            # No answer would come in its turn. Clients of AWS send one request after the other.
            self.transport.abort()
            raise ValueError("too many requests wait on this connection")
        self._in_head = self._between = False
        self._heads += 1
        self._head_bytes = self._raw_bytes = self._body_bytes = 0
        if self._head_is_due is not None:
            self._head_is_due.cancel()
            self._head_is_due = None
        if self._place is not None:
            self._place.work()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._between = True

    # --- called by what answers

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._linger()
        elif self.cycle.response_complete:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        if self._too_large:
            self._refuse(_TOO_LARGE, _too_large())
            return
        if self.transport.is_closing():
            return
        super().send_400_response(msg)
        self._linger()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._linger()

    # --- inside

    def _linger(self) -> None:
        """See to it that a connection ends that is being closed, whether or not it is read."""
        self.loop.call_later(LINGER_SECONDS, self._end)

    def _end(self) -> None:
        if self.parser is not None:
            self.transport.abort()

    def _wait(self) -> None:
        if self._place is not None:
            self._place.wait(self.loop.time(), self._give_up)

    def _give_up(self) -> None:
        """End while the client has to send something: politely, unless TLS would take its time."""
        if self.transport.get_extra_info("ssl_object") is None:
            self.transport.close()
        else:
            self.transport.abort()

    def _is_late(self) -> None:
        self._head_is_due = None
        self._refuse(
            _LATE,
            f"The request's head did not arrive within {counted(self._head_seconds, 'second')}. "
            "Send it faster; the server's limits.head_seconds sets the limit.\n",
        )

    def _refuse(self, head: bytes, text: str) -> None:
        """Answer and close; without an answer if it would get into another's."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = text.encode()
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(head + length + body)
        self.transport.close()
        self._linger()


def _too_large() -> str:
    return f"The request's head is larger than {HEAD_BYTES} bytes. Send shorter headers.\n"
