"""Finds the blocks of new data that differ from a snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.blocks import Array, nonzero_blocks, runs
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.map_reader import MapReader, Part, blocks_of


class Comparison:
    """Compares against the parent of a snapshot that is being written."""

    def __init__(self, parent: Root, frames: Frames) -> None:
        self._map = MapReader(parent, frames)
        self._frames = frames

    def differences(self, offset: int, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield the (offset, length) ranges where `data`, at `offset`, is not as in the parent.

        Where a whole frame is compared, its digest is enough and nothing of it is read.
        """
        new = np.frombuffer(data, np.uint8).reshape(-1, BLOCK_SIZE)
        first = offset // BLOCK_SIZE
        differs = np.zeros(len(new), bool)
        for part in self._map.parts(first, first + len(new)):
            differs[part.at] = self._compare(part, new[part.at])
        for start, end in runs(differs).tolist():
            yield offset + start * BLOCK_SIZE, (end - start) * BLOCK_SIZE

    def _compare(self, part: Part, new: Array) -> Array | bool:
        """For each block of the part whether it is another in `new`; False if none is."""
        if part.key is None:
            return nonzero_blocks(new.reshape(-1).data)
        entry = self._frames.entry(part.key)
        from_start = isinstance(part.blocks, slice) and part.blocks.start == 0
        whole = from_start and entry.plain == new.nbytes
        if whole and self._frames.cipher.digest(new.reshape(-1).data) == entry.content_digest:
            return False
        old = blocks_of(part, self._frames.data(part.key))
        result: Array = (old.view(np.uint64) != new.view(np.uint64)).any(axis=1)
        return result
