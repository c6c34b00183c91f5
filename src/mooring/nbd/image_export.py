"""Makes an export of an image: a snapshot or a frozen point."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor

from mooring.model.extents import BLOCK_SIZE, Buffer, Edges, Image
from mooring.nbd.protocol import STATUS_HOLE, STATUS_ZERO, StatusExtent

LONGEST_EXTENT = 1 << 30
"""Bytes; lengths have 32 bits on the wire."""

ZEROS = STATUS_HOLE | STATUS_ZERO


class ImageExport:
    """Reads an image in threads of `executor`; its blocking calls never stop the event loop.

    The image is closed with the export.
    """

    def __init__(self, image: Image, executor: Executor) -> None:
        self._image = image
        self._executor = executor
        self._edges: Edges | None = None
        self._edges_lock = asyncio.Lock()

    @property
    def size(self) -> int:
        return self._image.size

    async def read(self, offset: int, length: int) -> Buffer:
        start = offset - offset % BLOCK_SIZE
        end = -(-(offset + length) // BLOCK_SIZE) * BLOCK_SIZE
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._executor, self._image.read, start, end - start)
        if end - start == length:
            return data
        return data[offset - start : offset - start + length]

    async def block_status(self, offset: int, length: int, most: int) -> list[StatusExtent]:
        async with self._edges_lock:
            if self._edges is None:
                loop = asyncio.get_running_loop()
                self._edges = await loop.run_in_executor(self._executor, self._find_edges)
        end = min(offset + length, self.size)
        extents: list[StatusExtent] = []
        while offset < end and len(extents) < most:
            in_data, change = self._edges.at(offset)
            until = min(end if change is None else change, end, offset + LONGEST_EXTENT)
            extents.append(StatusExtent(until - offset, 0 if in_data else ZEROS))
            offset = until
        return extents

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._image.close)

    def _find_edges(self) -> Edges:
        return Edges(self._image.extents())
