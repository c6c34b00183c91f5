"""Copies an export into a raw file, resumably; compares both."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from mooring.files import write_sparse
from mooring.images.image_file import ImagePart, Tell, untold
from mooring.model.errors import StoreError
from mooring.model.extents import Edges
from mooring.nbd.client import NbdClient
from mooring.nbd.protocol import STATUS_ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How much is done at a time."""

    piece: int = 2 * 1024 * 1024
    """Bytes asked for at once."""

    depth: int = 8
    """Pieces asked for before the first has come."""

    mark_bytes: int = 256 * 1024 * 1024
    """How much an interrupted copy may have to read again."""


STEPS = Steps()


async def copy(
    uri: str,
    part: ImagePart,
    facts: dict[str, object],
    tell: Tell = untold,
    steps: Steps = STEPS,
) -> None:
    """Bring the export into the part, sparse, and compare; `facts` say which content it is.

    A part that an earlier copy with the same facts has left is continued. Raises NbdError,
    StoreError if the file cannot be written or is not the same in the end.
    """
    client = await NbdClient.connect(uri)
    try:
        facts = {**facts, "size": client.info.size}
        start = part.reached(facts)
        if not start:
            part.begin(client.info.size)
        copying = _Copying(client, part, await _data_edges(client), tell, steps)
        try:
            await copying.copy(facts, start)
            os.fdatasync(part.fd)
            # So that the comparison reads the disk, not the memory.
            os.posix_fadvise(part.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            await copying.compare()
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


class _Copying:
    def __init__(
        self, client: NbdClient, part: ImagePart, edges: Edges, tell: Tell, steps: Steps
    ) -> None:
        self._client = client
        self._part = part
        self._edges = edges
        self._total = max(edges.total(), 1)
        self._tell = tell
        self._steps = steps

    async def copy(self, facts: dict[str, object], start: int) -> None:
        """Bring what lies behind `start` into the part."""
        done = marked = sum(max(0, min(end, start) - at) for at, end in self._edges)
        self._tell("copy", done / self._total)
        async with aclosing(self._pieces(start)) as pieces:
            async for offset, data in pieces:
                write_sparse(self._part.fd, offset, data)
                done += len(data)
                self._tell("copy", done / self._total)
                if done - marked >= self._steps.mark_bytes:
                    self._part.mark(facts, offset + len(data))
                    marked = done

    async def compare(self) -> None:
        """Raises StoreError unless the part is as the export is."""
        done, size, fd = 0, self._client.info.size, self._part.fd
        if os.fstat(fd).st_size != size:
            raise self._differs(size)
        for offset in self._data_outside(size):
            raise self._differs(offset)
        async with aclosing(self._pieces(0)) as pieces:
            async for offset, data in pieces:
                if os.pread(fd, len(data), offset) != data:
                    raise self._differs(offset)
                done += len(data)
                self._tell("compare", done / self._total)

    async def _pieces(self, start: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The data from `start` on, in order, with several requests in flight."""
        window: deque[tuple[int, asyncio.Task[bytes]]] = deque()
        piece = self._steps.piece
        try:
            for begin, end in self._edges:
                for offset in range(max(begin, start), end, piece):
                    reading = self._client.read(offset, min(piece, end - offset))
                    window.append((offset, asyncio.create_task(reading)))
                    if len(window) == self._steps.depth:
                        at, task = window.popleft()
                        yield at, await task
            while window:
                at, task = window.popleft()
                yield at, await task
        finally:
            for _, task in window:
                task.cancel()
            await asyncio.gather(*(task for _, task in window), return_exceptions=True)

    def _data_outside(self, size: int) -> list[int]:
        """The first place where the part holds something and the export holds zeros, if any."""
        fd, at = self._part.fd, 0
        while at < size:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            while at < end:
                in_data, change = self._edges.at(at)
                until = min(size if change is None else change, end)
                if not in_data:
                    while at < until:
                        piece = os.pread(fd, min(self._steps.piece, until - at), at)
                        if piece != bytes(len(piece)):
                            return [at]
                        at += len(piece)
                at = until
        return []

    def _differs(self, offset: int) -> StoreError:
        # Taken over by the next try, it would be wrong again.
        self._part.discard()
        return StoreError(
            f"{self._part.path} is not what was written there, near byte {offset}: it was removed; "
            "check the disk that it is on"
        )
