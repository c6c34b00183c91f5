"""Replies of an NBD server, put together from their chunks."""

from __future__ import annotations

import asyncio
import errno
from operator import itemgetter
from typing import NamedTuple

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.protocol import Chunk, Command, StatusExtent
from mooring.nbd.wire import Wire

MOST_DESCRIPTORS = 1024 * 1024
"""Extents taken in at once; QEMU sends up to 128 Ki."""


class Piece(NamedTuple):
    """A part of what a read returns; `data` is None where it is zeros."""

    offset: int
    length: int
    data: bytes | None


class Pending:
    """A request on its way, and what has come back so far."""

    __slots__ = (
        "command", "done", "error", "extents", "length", "message", "offset", "pieces", "received",
    )  # fmt: skip

    def __init__(self, command: Command, offset: int, length: int) -> None:
        self.command = command
        self.offset = offset
        self.length = length
        self.pieces: list[Piece] = []
        self.received = 0
        self.extents: dict[str, list[StatusExtent]] = {}
        self.error = 0
        self.message = ""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, piece: Piece) -> None:
        """Take a part of a read. Raises NbdError when there are more bytes than asked for."""
        self.received += piece.length
        if self.received > self.length:
            raise NbdError(f"the NBD server sent too much for a read of {self.length} bytes")
        self.pieces.append(piece)

    def data(self) -> bytes:
        """What was read. The pieces fit together: `finish` has seen to that."""
        if len(self.pieces) == 1 and self.pieces[0].data is not None:
            return self.pieces[0].data
        return b"".join(
            bytes(piece.length) if piece.data is None else piece.data for piece in self.pieces
        )

    def finish(self) -> None:
        """Wake the waiting task. Raises NbdError if a read lacks something."""
        if self.command is Command.READ and not self.error:
            if len(self.pieces) > 1:
                self.pieces.sort(key=itemgetter(0))
            at = self.offset
            for piece in self.pieces:
                if piece.offset != at:
                    raise NbdError(f"the NBD server left out or repeated data at {at}")
                at += piece.length
            if at != self.offset + self.length:
                raise NbdError(f"the NBD server sent too little data, up to {at}")
        # The task may have been cancelled meanwhile.
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, problem: Exception) -> None:
        """Wake the waiting task with an error."""
        if not self.done.done():
            self.done.set_exception(problem)
            # Read it once, so that nobody complains when the task was cancelled meanwhile.
            self.done.exception()


async def read_reply(wire: Wire, pending: dict[int, Pending], contexts: dict[int, str]) -> None:
    """Read one reply or chunk and apply it to its request.

    Raises NbdError if the server breaks the protocol, after which the connection is useless.
    """
    (magic,) = p.U32.unpack(await wire.read(p.U32.size))
    if magic == p.SIMPLE_REPLY_MAGIC:
        # After the magic: error, cookie.
        head = await wire.read(p.SIMPLE_REPLY.size - p.U32.size)
        error = int.from_bytes(head[:4])
        cookie = int.from_bytes(head[4:])
        request = _known(pending, cookie)
        if error:
            request.error = p.ERRORS.get(error, errno.EINVAL)
        elif request.command is Command.READ:
            data = await wire.read(request.length)
            request.add(Piece(request.offset, request.length, data))
        del pending[cookie]
        request.finish()
    elif magic == p.STRUCTURED_REPLY_MAGIC:
        # After the magic: flags, type, cookie, length.
        head = await wire.read(p.STRUCTURED_REPLY.size - p.U32.size)
        flags = int.from_bytes(head[:2])
        kind = int.from_bytes(head[2:4])
        cookie = int.from_bytes(head[4:12])
        length = int.from_bytes(head[12:])
        request = _known(pending, cookie)
        await _apply_chunk(wire, request, kind, length, contexts)
        if flags & p.CHUNK_DONE:
            del pending[cookie]
            request.finish()
    else:
        raise NbdError(f"the NBD server broke the protocol: no reply begins with {magic:#010x}")


def _known(pending: dict[int, Pending], cookie: int) -> Pending:
    try:
        return pending[cookie]
    except KeyError:
        raise NbdError("the NBD server answered a request that was not sent") from None


async def _apply_chunk(
    wire: Wire, request: Pending, kind: int, length: int, contexts: dict[int, str]
) -> None:
    if kind == Chunk.OFFSET_DATA and request.command is Command.READ:
        size = length - p.OFFSET.size
        if not 0 <= size <= request.length:
            raise NbdError(f"the NBD server sent {size} bytes for a read of {request.length}")
        (offset,) = p.OFFSET.unpack(await wire.read(p.OFFSET.size))
        request.add(Piece(offset, size, await wire.read(size)))
    elif kind == Chunk.OFFSET_HOLE and request.command is Command.READ:
        _expect(length == p.HOLE.size, "a hole")
        offset, size = p.HOLE.unpack(await wire.read(length))
        request.add(Piece(offset, size, None))
    elif kind == Chunk.BLOCK_STATUS and request.command is Command.BLOCK_STATUS:
        room = length - p.U32.size
        count, rest = divmod(room, p.DESCRIPTOR.size)
        _expect(rest == 0 and 0 < count <= MOST_DESCRIPTORS, "a block status")
        data = await wire.read(length)
        context = contexts.get(p.U32.unpack_from(data)[0])
        extents = [StatusExtent(*item) for item in p.DESCRIPTOR.iter_unpack(data[p.U32.size :])]
        _expect(context is not None and all(one.length for one in extents), "a block status")
        assert context is not None
        request.extents[context] = extents
    elif kind == Chunk.NONE:
        _expect(length == 0, "an empty chunk")
    elif kind & p.CHUNK_IS_ERROR:
        # An unknown kind of error has the same beginning as the known ones.
        _expect(p.CHUNK_ERROR.size <= length <= p.MAX_NAME + 64, "an error")
        data = await wire.read(length)
        error, text_length = p.CHUNK_ERROR.unpack_from(data)
        text = data[p.CHUNK_ERROR.size : p.CHUNK_ERROR.size + text_length]
        request.error = p.ERRORS.get(error, errno.EINVAL)
        request.message = text.decode(errors="replace")
    else:
        raise NbdError(
            f"the NBD server answered {request.command.name} with a chunk of type {kind}"
        )


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise NbdError(f"the NBD server broke the protocol in {what}")
