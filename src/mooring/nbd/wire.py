"""A connection that is read by exact lengths."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import cast

from mooring.model.errors import NbdDisconnectedError
from mooring.model.extents import Buffer

READ_AHEAD = 1024 * 1024
"""Bytes kept beyond what was asked for, before the peer has to wait."""
WORTH_A_CALL = 64 * 1024
"""Bytes from which on copying them costs more than another system call."""

_CREDENTIALS = struct.Struct("3i")  # process, user, group


class Wire(asyncio.Protocol):
    """One stream of bytes in each direction; one task may read, any may write.

    Faster than asyncio's streams for many small messages: what has arrived already is
    returned without a turn of the event loop.
    """

    def __init__(self, on_connect: Callable[[Wire], None] | None = None) -> None:
        self._on_connect = on_connect
        self._buffer = bytearray()
        self._start = 0
        self._wanted = 0
        self._arrived: asyncio.Future[None] | None = None
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False
        self._reason: Exception | None = None
        self._lost: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    # --- reading and writing

    async def read(self, length: int) -> bytes:
        """Return exactly `length` bytes. Raises NbdDisconnectedError when there are fewer."""
        while self.buffered < length:
            await self._wait_for(length)
        end = self._start + length
        data = bytes(memoryview(self._buffer)[self._start : end])
        self._start = end
        if end == len(self._buffer):
            self._buffer.clear()
            self._start = 0
        if self._paused and self.buffered < READ_AHEAD:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def skip(self, length: int) -> None:
        """Read and forget `length` bytes, without holding them all."""
        while length:
            piece = min(length, READ_AHEAD)
            await self.read(piece)
            length -= piece

    def write(self, *parts: Buffer) -> None:
        """Send what the parts hold one after the other; call `drain` before much more."""
        if self._ended:
            return
        # Not `writelines`: up to Python 3.13 it spins forever on an empty part.
        if sum(map(len, parts)) < WORTH_A_CALL:
            self._transport.write(b"".join(parts))
        else:
            for part in parts:
                self._transport.write(part)

    async def drain(self) -> None:
        """Wait until the peer keeps up. Raises NbdDisconnectedError if it is gone."""
        if not self._writable.is_set():
            await self._writable.wait()
        if self._ended:
            raise self._disconnected()

    @property
    def buffered(self) -> int:
        """Bytes that have arrived and were not read yet."""
        return len(self._buffer) - self._start

    @property
    def keeps_up(self) -> bool:
        """Whether the peer is there and reads, so that `drain` would have nothing to do."""
        return self._writable.is_set() and not self._ended

    def keep_alive(self) -> None:
        """Let the system find out when the peer's host is gone."""
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def peer_user(self) -> int | None:
        """The user id of the process at the other end of a Unix socket."""
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is None or connection.family != socket.AF_UNIX:
            return None
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(told)[1])

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool = False, hostname: str | None = None
    ) -> None:
        """Go on in TLS. Call `hold` before the peer is told to begin."""
        if self.buffered:
            # Would be taken for protected although anybody on the way could have put it there.
            raise NbdDisconnectedError("the peer sent data before TLS had begun")
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=server_side, server_hostname=hostname
            )
        except (OSError, ssl.SSLError) as error:
            raise NbdDisconnectedError(f"TLS could not be negotiated: {error}") from error
        if transport is None:
            raise self._disconnected()
        self._transport = transport

    def hold(self) -> None:
        """Stop taking in data, so that the first bytes of TLS are left to TLS."""
        self._transport.pause_reading()

    async def close(self) -> None:
        """Send what is written, then close; `abort` instead if the peer does not read."""
        self._transport.close()
        if self._lost is not None:
            await asyncio.shield(self._lost)

    def abort(self) -> None:
        """Close at once; nothing happens if there is no connection."""
        if self._lost is not None:
            self._transport.abort()

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._lost = asyncio.get_running_loop().create_future()
        if self._on_connect is not None:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        # Moves the rest to the front only now and then: bytearray does it in place.
        if self._start > READ_AHEAD:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data
        if self._arrived is not None and self.buffered >= self._wanted:
            self._wake()
        elif self._arrived is None and self.buffered > READ_AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- inside

    async def _wait_for(self, length: int) -> None:
        if self._ended:
            raise self._disconnected()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._wanted = length
        self._arrived = asyncio.get_running_loop().create_future()
        try:
            await self._arrived
        finally:
            self._arrived = None

    def _end(self, reason: Exception | None) -> None:
        self._ended = True
        self._reason = self._reason or reason
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _disconnected(self) -> NbdDisconnectedError:
        return NbdDisconnectedError(f"the peer is gone: {self._reason or 'connection closed'}")
