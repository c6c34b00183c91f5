"""Makes an export of an image: a snapshot or a frozen point."""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_right
from concurrent.futures import Executor

from mooring.model.extents import BLOCK_SIZE, Buffer, Image
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
        # Where data begins and where it ends, by turns, ascending; in between are zeros.
        self._edges: array[int] | None = None
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
                self._edges = await loop.run_in_executor(self._executor, data_edges, self._image)
        edges = self._edges
        end = min(offset + length, self.size)
        extents: list[StatusExtent] = []
        index = bisect_right(edges, offset)
        while offset < end and len(extents) < most:
            until = min(edges[index] if index < len(edges) else end, end, offset + LONGEST_EXTENT)
            extents.append(StatusExtent(until - offset, 0 if index % 2 else ZEROS))
            offset = until
            if index < len(edges) and offset == edges[index]:
                index += 1
        return extents

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, self._image.close)


def data_edges(image: Image) -> array[int]:
    """Return where data begins and ends in an image, by turns; neighbours are joined."""
    edges: array[int] = array("Q")
    for extent in image.extents():
        if extent.zero:
            continue
        if edges and edges[-1] == extent.offset:
            edges[-1] = extent.end
        else:
            edges.append(extent.offset)
            edges.append(extent.end)
    return edges
