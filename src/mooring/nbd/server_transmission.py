"""The server's side of the NBD transmission: requests in, replies out."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass

from mooring.model.errors import MooringError, NbdDisconnectedError, NbdError
from mooring.model.extents import Buffer
from mooring.nbd import protocol as p
from mooring.nbd.budget import Budget
from mooring.nbd.protocol import Chunk, Command, CommandFlag
from mooring.nbd.server_handshake import CONTEXT_ID, Session
from mooring.nbd.wire import Wire

PIECE = 1024 * 1024
"""Bytes read and sent at once when a reply may come in several chunks."""
MOST_EXTENTS = 8192
"""Extents told at once; the client asks on where they end."""

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

    def __init__(self, wire: Wire, session: Session, limits: Limits, memory: Budget) -> None:
        self._wire = wire
        self._export = session.export
        self._size = session.export.size
        self._structured = session.structured
        self._has_status = session.block_status
        self._limits = limits
        self._memory = memory
        self._free = asyncio.Semaphore(limits.requests)

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
                        self._fail(request, errno.EINVAL, problem)
                        await self._drain()
                    elif request.command == Command.FLUSH:
                        self._succeed(request)
                        await self._drain()
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
            raise NbdError("the client has sent something that is no request")
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
                return f"{length} bytes are too many for a read: {p.MAX_PAYLOAD} are possible"
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
        self._fail(request, errno.EPERM, "the export is read-only")
        await self._drain()

    async def _serve(self, request: Request) -> None:
        try:
            if request.command == Command.READ:
                await self._read(request)
            else:
                await self._block_status(request)
        except NbdDisconnectedError:
            raise
        except (MooringError, OSError) as error:
            self._fail(request, errno.EIO, str(error))
            await self._drain()
        finally:
            self._free.release()

    async def _read(self, request: Request) -> None:
        whole = not self._structured or bool(request.flags & CommandFlag.DF)
        piece = request.length if whole else min(request.length, PIECE)
        at, end = request.offset, request.offset + request.length
        if at == end:
            self._succeed(request)
            return
        async with self._memory.hold(piece):
            while at < end:
                length = min(piece, end - at)
                data = await self._export.read(at, length)
                if len(data) != length:
                    raise NbdError(f"read {len(data)} bytes instead of {length} at {at}")
                self._send_data(request, at, data, done=at + length == end)
                await self._drain()
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
        self._chunk(request, Chunk.BLOCK_STATUS, data)
        await self._drain()

    # --- replies

    def _send_data(self, request: Request, offset: int, data: Buffer, *, done: bool) -> None:
        if not self._structured:
            self._wire.write(p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, request.cookie), data)
            return
        head = p.STRUCTURED_REPLY.pack(
            p.STRUCTURED_REPLY_MAGIC,
            p.CHUNK_DONE if done else 0,
            Chunk.OFFSET_DATA,
            request.cookie,
            p.OFFSET.size + len(data),
        )
        self._wire.write(head, p.OFFSET.pack(offset), data)

    def _succeed(self, request: Request) -> None:
        # Simple replies are allowed beside structured ones for all but reads.
        if self._structured and request.command == Command.READ:
            self._chunk(request, Chunk.NONE, b"")
        else:
            self._wire.write(p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, 0, request.cookie))

    def _fail(self, request: Request, error: int, message: str) -> None:
        if self._structured:
            text = message.encode()[: p.MAX_NAME]
            self._chunk(request, Chunk.ERROR, p.CHUNK_ERROR.pack(error, len(text)) + text)
        else:
            self._wire.write(p.SIMPLE_REPLY.pack(p.SIMPLE_REPLY_MAGIC, error, request.cookie))

    def _chunk(self, request: Request, kind: Chunk, data: bytes) -> None:
        """Send a chunk that ends the reply."""
        head = p.STRUCTURED_REPLY.pack(
            p.STRUCTURED_REPLY_MAGIC, p.CHUNK_DONE, kind, request.cookie, len(data)
        )
        self._wire.write(head, data)

    async def _drain(self) -> None:
        if self._wire.keeps_up:
            return
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                await self._wire.drain()
        except TimeoutError:
            raise NbdDisconnectedError("the client does not read its replies") from None
