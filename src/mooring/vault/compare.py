"""Finds the blocks of new data that differ from a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mooring.model.extents import BLOCK_SIZE
from mooring.vault.frames import Frames
from mooring.vault.gather import Array, nonzero_blocks
from mooring.vault.map_reader import MapReader, Run
from mooring.vault.root import Root


class Comparison:
    """Compares against the parent of a snapshot that is being written."""

    def __init__(self, parent: Root, frames: Frames) -> None:
        self._map = MapReader(parent, frames)
        self._frames = frames

    def differences(self, offset: int, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the (offset, length) ranges where `data`, at `offset`, is not as in the parent.

        Where a whole frame is compared, its digest is enough and nothing of it is read.
        """
        count = len(data) // BLOCK_SIZE
        first = offset // BLOCK_SIZE
        differs = np.zeros(count, bool)
        view = memoryview(data)
        for run in self._map.runs(first, first + count):
            low = run.first - first
            piece = view[low * BLOCK_SIZE : (low + run.count) * BLOCK_SIZE]
            differs[low : low + run.count] = self._compare(run, piece)
        edges = np.flatnonzero(np.diff(differs, prepend=False, append=False)).tolist()
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield offset + start * BLOCK_SIZE, (end - start) * BLOCK_SIZE

    def _compare(self, run: Run, piece: memoryview) -> Array | bool:
        if run.key is None:
            return nonzero_blocks(piece)
        entry = self._frames.entry(run.key)
        whole = run.block == 0 and entry.plain == len(piece)
        if whole and self._frames.cipher.digest(piece) == entry.content_digest:
            return False
        content = self._frames.data(run.key)
        start = run.block * BLOCK_SIZE
        old = np.frombuffer(content, np.uint64, len(piece) // 8, start).reshape(run.count, -1)
        new = np.frombuffer(piece, np.uint64).reshape(run.count, -1)
        result: Array = (old != new).any(axis=1)
        return result
