"""The server's side of the NBD transmission: requests in, replies out."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass

from mooring.model.errors import MooringError, NbdDisconnectedError, NbdError
from mooring.model.extents import Buffer
from mooring.nbd import protocol as p
from mooring.nbd.budget import Budget, Memory
from mooring.nbd.protocol import Chunk, Command, CommandFlag
from mooring.nbd.server_handshake import CONTEXT_ID, Session
from mooring.nbd.wire import Wire

PIECE = 1024 * 1024
"""Bytes read and sent at once when a reply may come in several chunks."""
MOST_EXTENTS = 8192
"""Extents told at once; the client asks on where they end."""
SENT_AT_ONCE = 256 * 1024
"""Bytes given to the connection before the client has to keep up: what is unread beyond is kept
here, where it is counted, and not once more in the buffers of TLS and the event loop."""
SHARE = 8
"""One connection holds at most this part of the memory, or one read."""

READ_ONLY_COMMANDS = {Command.WRITE, Command.TRIM, Command.WRITE_ZEROES}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on. Times are seconds, sizes bytes.

    `requests` are those in flight of one connection, `memory` is for the data of all.
    """

    connections: int = 128
    requests: int = 32
    memory: int = 128 * 1024 * 1024
    handshake_seconds: float = 10.0
    stall_seconds: float = 60.0
    """How long a client may leave replies unread."""
    contended_seconds: float = 10.0
    """The same while another client waits for the memory that unread replies take."""
    idle_seconds: float | None = None
    """How long a client may send nothing; disks are idle for days, so there is no limit."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    flags: int
    command: int
    cookie: int
    offset: int
    length: int


class Transmission:
    """Serves one client until it says goodbye, or goes away."""

    def __init__(self, wire: Wire, session: Session, limits: Limits, memory: Memory) -> None:
        self._wire = wire
        self._export = session.export
        self._size = session.export.size
        self._structured = session.structured
        self._has_status = session.block_status
        self._limits = limits
        self._memory = memory
        self._share = Budget(max(1, limits.memory // SHARE))
        self._free = asyncio.Semaphore(limits.requests)
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve. Raises NbdError when the client breaks the protocol or goes away."""
        try:
            async with asyncio.TaskGroup() as group:
                while (request := await self._next()) is not None:
                    if request.command in READ_ONLY_COMMANDS:
                        await self._refuse_change(request)
                        continue
                    problem = self._problem(request)
                    if problem is not None:
                        await self._fail(request, errno.EINVAL, problem)
                    elif request.command == Command.FLUSH:
                        await self._succeed(request)
                    else:
                        await self._free.acquire()
                        group.create_task(self._serve(request))
        except ExceptionGroup as group:
            faults = group.split(NbdError)[1]
            if faults is not None:
                raise faults from None
            # One reason is enough: the others follow from it.
            raise group.exceptions[0] from None

    async def _next(self) -> Request | None:
        """Read the next request; None at the client's goodbye."""
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                head = await self._wire.read(p.REQUEST.size)
        except TimeoutError:
            raise NbdDisconnectedError("the client was idle for too long") from None
        magic, *fields = p.REQUEST.unpack(head)
        if magic != p.REQUEST_MAGIC:
            raise NbdError("the client has sent something that is not a request")
        request = Request(*fields)
        return None if request.command == Command.DISC else request

    def _problem(self, request: Request) -> str | None:
        """What is wrong with a request."""
        command, offset, length = request.command, request.offset, request.length
        if command == Command.FLUSH:
            return None
        if command == Command.READ:
            known = CommandFlag.FUA | (CommandFlag.DF if self._structured else 0)
            if length > p.MAX_PAYLOAD:
                return f"{length} bytes are too many for a read: {p.MAX_PAYLOAD} is the limit"
        elif command == Command.BLOCK_STATUS:
            known = CommandFlag.FUA | CommandFlag.REQ_ONE
            if not self._has_status:
                return "no meta context was agreed on"
            if not length:
                return "a block status of nothing"
        else:
            return f"command {command} is not supported"
        if request.flags & ~int(known):
            return f"flags {request.flags:#x} are not supported"
        if offset + length > self._size:
            return f"{offset} + {length} is beyond the end of the export at {self._size}"
        return None

    async def _refuse_change(self, request: Request) -> None:
        if request.command == Command.WRITE:
            if request.length > p.MAX_PAYLOAD:
                raise NbdError(f"the client writes {request.length} bytes at once")
            await self._wire.skip(request.length)
        await self._fail(request, errno.EPERM, "the export is read-only")

    async def _serve(self, request: Request) -> None:
        try:
            if request.command == Command.READ:
                await self._read(request)
            else:
                await self._block_status(request)
        except NbdDisconnectedError:
            raise
        except (MooringError, OSError) as error:
            await self._fail(request, errno.EIO, str(error))
        finally:
            self._free.release()

    async def _read(self, request: Request) -> None:
        whole = not self._structured or bool(request.flags & CommandFlag.DF)
        piece = request.length if whole else min(request.length, PIECE)
        at, end = request.offset, request.offset + request.length
        if at == end:
            await self._succeed(request)
            return
        async with self._share.hold(piece), self._memory.of(piece).hold(piece):
            while at < end:
                length = min(piece, end - at)
                data = await self._export.read(at, length)
                if len(data) != length:
                    raise NbdError(f"read {len(data)} bytes instead of {length} at {at}")
                await self._send_data(request, at, data, done=at + length == end)
                at += length

    async def _block_status(self, request: Request) -> None:
        most = 1 if request.flags & CommandFlag.REQ_ONE else MOST_EXTENTS
        extents = await self._export.block_status(request.offset, request.length, most)
        if not extents:
            raise NbdError(f"no block status is known at {request.offset}")
        told = p.within(extents, request.length)
        data = p.U32.pack(CONTEXT_ID) + b"".join(
            p.DESCRIPTOR.pack(extent.length, extent.flags) for extent in told
        )
        await self._chunk(request, Chunk.BLOCK_STATUS, data)

    # --- replies

    async def _send_data(self, request: Request, offset: int, data: Buffer, *, done: bool) -> None:
        if not self._structured:
            head = p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, request.cookie)
            await self._send(head, data)
            return
        head = p.STRUCTURED_REPLY.pack(
            p.STRUCTURED_REPLY_MAGIC,
            p.CHUNK_DONE if done else 0,
            Chunk.OFFSET_DATA,
            request.cookie,
            p.OFFSET.size + len(data),
        )
        await self._send(head + p.OFFSET.pack(offset), data)

    async def _succeed(self, request: Request) -> None:
        # Simple replies are allowed beside structured ones for all but reads.
        if self._structured and request.command == Command.READ:
            await self._chunk(request, Chunk.NONE, b"")
        else:
            await self._send(p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, request.cookie))

    async def _fail(self, request: Request, error: int, message: str) -> None:
        if self._structured:
            text = message.encode()[: p.MAX_NAME]
            await self._chunk(request, Chunk.ERROR, p.CHUNK_ERROR.pack(error, len(text)) + text)
        else:
            await self._send(p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, error, request.cookie))

    async def _chunk(self, request: Request, kind: Chunk, data: bytes) -> None:
        """Send a chunk that ends the reply."""
        head = p.STRUCTURED_REPLY.pack(
            p.STRUCTURED_REPLY_MAGIC, p.CHUNK_DONE, kind, request.cookie, len(data)
        )
        await self._send(head, data)

    async def _send(self, head: bytes, data: Buffer = b"") -> None:
        """Send a reply, or a chunk of one, with none of another in between."""
        async with self._sending:
            view = memoryview(data)
            self._wire.write(head, view[:SENT_AT_ONCE])
            await self._drain()
            for at in range(SENT_AT_ONCE, len(view), SENT_AT_ONCE):
                self._wire.write(view[at : at + SENT_AT_ONCE])
                await self._drain()

    async def _drain(self) -> None:
        """Wait until the client keeps up. Raises NbdDisconnectedError if it takes too long."""
        if self._wire.keeps_up:
            return
        left = self._limits.stall_seconds
        while left > 0:
            seconds = min(left, self._limits.contended_seconds)
            try:
                async with asyncio.timeout(seconds):
                    await self._wire.drain()
                return
            except TimeoutError:
                left -= seconds
                if self._memory.wanted:
                    raise NbdDisconnectedError(
                        "the client does not read its replies, and others wait for their memory"
                    ) from None
        raise NbdDisconnectedError("the client does not read its replies")
