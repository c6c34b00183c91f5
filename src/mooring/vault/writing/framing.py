"""Gathers written blocks into frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mooring.model.extents import BLOCK_SIZE, Buffer
from mooring.vault.format.blocks import Array, nonzero_blocks
from mooring.vault.format.layout import FRAME_BLOCKS

Emit = Callable[[Array, Buffer], None]

SPARSE_BLOCKS = 16
"""Of fewer blocks an aligned 512 KiB makes no frame of its own, nor does a stretch."""

STRETCH_FRAMES = 16
"""Frames in a stretch, an aligned 8 MiB.

Blocks that are written one here, one there share frames that end where a stretch ends, if that
does not make them tiny. So who reads a part of the disk needs most of each frame; and
when a stretch is written again (consolidation.py), no other needs the frames that it had.
"""

_ZERO = bytes(BLOCK_SIZE)


class Gather:
    """Turns writes into frames of up to 128 blocks, which it hands to `emit` with their numbers.

    An aligned 512 KiB in which some blocks are written becomes a frame of its own: the same
    content at another disk or time then makes the same frame. Where fewer than `SPARSE_BLOCKS`
    are, they share a frame with their neighbours in disk order, those of the same stretch if they
    are enough. Blocks that go back behind what was written before are emitted after it, so that
    the last write of a block wins.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._group = -1
        self._dense = _Parts()
        self._sparse = _Parts()
        self._end = 0

    def write(self, first: int, data: bytes) -> Array | None:
        """Take whole blocks from block `first` on.

        Returns which of them are not zero, or None if all are: zero ones are left out.
        """
        count = len(data) // BLOCK_SIZE
        self.advance(first, first + count)
        if count == 1:
            if data == _ZERO:
                return np.zeros(1, bool)
            self._enter(first // FRAME_BLOCKS)
            self._dense.add([first], data)
            return None
        mask = nonzero_blocks(data)
        whole = bool(mask.all())
        view = memoryview(data)
        block = first
        while block < first + count:
            group = block // FRAME_BLOCKS
            end = min(first + count, (group + 1) * FRAME_BLOCKS)
            low, high = block - first, end - first
            piece = view[low * BLOCK_SIZE : high * BLOCK_SIZE]
            self._enter(group)
            if whole and high - low == FRAME_BLOCKS:
                self._emit(np.arange(block, end), piece)
            elif whole or mask[low:high].all():
                self._dense.add(range(block, end), piece)
            elif mask[low:high].any():
                chosen = np.flatnonzero(mask[low:high])
                rows = np.frombuffer(piece, np.uint8).reshape(-1, BLOCK_SIZE)[chosen]
                self._dense.add((chosen + block).tolist(), rows.tobytes())
            block = end
        return None if whole else mask

    def advance(self, first: int, end: int) -> None:
        """Say that blocks are about to be written or zeroed; a step back empties the gather."""
        if first < self._end:
            self.flush()
        self._end = end

    def flush(self) -> None:
        """Emit what is left."""
        self._enter(-1)
        self._sparse.emit(self._emit)

    def _enter(self, group: int) -> None:
        if group == self._group:
            return
        if self._dense.count >= SPARSE_BLOCKS:
            self._dense.emit(self._emit)
        elif self._dense.count:
            if self._sparse.count + self._dense.count > FRAME_BLOCKS:
                self._sparse.emit(self._emit)
            self._sparse.take(self._dense)
        new_stretch = group // STRETCH_FRAMES != self._group // STRETCH_FRAMES
        if new_stretch and self._sparse.count >= SPARSE_BLOCKS:
            self._sparse.emit(self._emit)
        self._group = group


class _Parts:
    """Blocks waiting to become a frame."""

    def __init__(self) -> None:
        self.count = 0
        self._blocks: list[int] = []
        self._data: list[Buffer] = []

    def add(self, blocks: range | list[int], data: Buffer) -> None:
        self._blocks.extend(blocks)
        self._data.append(data)
        self.count = len(self._blocks)

    def take(self, other: _Parts) -> None:
        self._blocks += other._blocks
        self._data += other._data
        self.count += other.count
        other._clear()

    def emit(self, emit: Emit) -> None:
        if self.count:
            blocks = np.array(self._blocks, np.int64)
            data = b"".join(self._data)
            self._clear()
            emit(blocks, data)

    def _clear(self) -> None:
        self._blocks = []
        self._data = []
        self.count = 0
