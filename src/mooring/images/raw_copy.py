"""Copies an export into a raw file, resumably; compares both."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

from mooring.files import write_sparse
from mooring.images.image_file import ImagePart, Tell, untold
from mooring.model.errors import StoreError
from mooring.model.extents import Edges
from mooring.nbd.client import NbdClient
from mooring.nbd.protocol import STATUS_ZERO

PIECE = 2 * 1024 * 1024
"""Bytes asked for at once."""

DEPTH = 8
"""Pieces asked for before the first has come."""

MARK_BYTES = 256 * 1024 * 1024
"""How much an interrupted copy may have to read again."""


async def copy(uri: str, part: ImagePart, facts: dict[str, object], tell: Tell = untold) -> None:
    """Bring the export into the part, sparse, and compare; `facts` say which content it is.

    A part that an earlier copy with the same facts has left is continued. Raises NbdError,
    StoreError if the file cannot be written or is not the same in the end.
    """
    client = await NbdClient.connect(uri)
    try:
        size = client.info.size
        facts = {**facts, "size": size}
        start = part.reached(facts)
        if not start:
            part.begin(size)
        edges = await _data_edges(client)
        try:
            await _copy(client, part, edges, facts, start, tell)
            os.fdatasync(part.fd)
            # So that the comparison reads the disk, not the memory.
            os.posix_fadvise(part.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            await _compare(client, part, edges, tell)
        except OSError as error:
            raise StoreError(f"{part.path} cannot be written: {error.strerror}") from error
    finally:
        await client.close()


async def _data_edges(client: NbdClient) -> Edges:
    edges = Edges()
    async for offset, extent in client.map():
        if not extent.flags & STATUS_ZERO:
            edges.add(offset, offset + extent.length)
    return edges


async def _copy(
    client: NbdClient,
    part: ImagePart,
    edges: Edges,
    facts: dict[str, object],
    start: int,
    tell: Tell,
) -> None:
    total = max(edges.total(), 1)
    done = sum(max(0, min(end, start) - at) for at, end in edges)
    marked = done
    tell("copy", done / total)
    async with aclosing(_pieces(client, edges, start)) as pieces:
        async for offset, data in pieces:
            write_sparse(part.fd, offset, data)
            done += len(data)
            tell("copy", done / total)
            if done - marked >= MARK_BYTES:
                part.mark(facts, offset + len(data))
                marked = done


async def _compare(client: NbdClient, part: ImagePart, edges: Edges, tell: Tell) -> None:
    total, done = max(edges.total(), 1), 0
    if os.fstat(part.fd).st_size != client.info.size:
        raise _differs(part, client.info.size)
    for offset in _data_outside(part.fd, edges, client.info.size):
        raise _differs(part, offset)
    async with aclosing(_pieces(client, edges, 0)) as pieces:
        async for offset, data in pieces:
            if os.pread(part.fd, len(data), offset) != data:
                raise _differs(part, offset)
            done += len(data)
            tell("compare", done / total)


def _differs(part: ImagePart, offset: int) -> StoreError:
    # Taken over by the next try, it would be wrong again.
    part.discard()
    return StoreError(
        f"{part.path} is not what was written there, near byte {offset}: it was removed; look "
        "after the disk that it is on"
    )


async def _pieces(
    client: NbdClient, edges: Edges, start: int
) -> AsyncGenerator[tuple[int, bytes], None]:
    """The data from `start` on, in order, with several requests in flight."""
    window: deque[tuple[int, asyncio.Task[bytes]]] = deque()
    try:
        for begin, end in edges:
            for offset in range(max(begin, start), end, PIECE):
                length = min(PIECE, end - offset)
                window.append((offset, asyncio.create_task(client.read(offset, length))))
                if len(window) == DEPTH:
                    at, task = window.popleft()
                    yield at, await task
        while window:
            at, task = window.popleft()
            yield at, await task
    finally:
        for _, task in window:
            task.cancel()
        await asyncio.gather(*(task for _, task in window), return_exceptions=True)


def _data_outside(fd: int, edges: Edges, size: int) -> list[int]:
    """The first place where the file holds something and the export holds zeros, if any."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            in_data, change = edges.at(at)
            until = min(size if change is None else change, end)
            if not in_data:
                while at < until:
                    piece = os.pread(fd, min(PIECE, until - at), at)
                    if piece != bytes(len(piece)):
                        return [at]
                    at += len(piece)
            at = until
    return []
