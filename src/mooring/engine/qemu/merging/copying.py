"""Copying what frozen overlays hold into the base below them, past daemon and page cache.

The overlays stay where they are until all of it is durable, and whoever reads the disk, or a
point of it, reads through them: nobody sees what is written here. So it can end at any place,
and be done again from the start. docs/design/engine.md says why nothing else can go wrong.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import numpy as np
from numpy.typing import NDArray

from mooring.engine.qemu.layers.layer import Layer
from mooring.engine.qemu.layers.qcow2 import DATA, WINDOW, WINDOW_BLOCKS, ZERO, Overlay
from mooring.engine.qemu.merging.cloning import Cloning
from mooring.files import sync_data
from mooring.host.allocation import punch
from mooring.host.many_requests import READ, WRITE, ManyRequests, RequestError, Requests, requests
from mooring.model.errors import LayerDamagedError
from mooring.model.extents import BLOCK_SIZE

IN_FLIGHT = 32
"""Requests at once: enough for a fast device, and few enough for guests to come in between."""

MOST_BLOCKS = 1024
"""Blocks read at a time, while as many are written: 4 MiB each."""

_RUN_BLOCKS = 128
"""Blocks of one request."""

_SHORT_BLOCKS = 16
"""Fewer zeros than that beside data are written, so that the base does not fall to pieces."""

_HOLE = 64 * 1024 * 1024
"""Bytes of one hole: punching it keeps others from the file."""

_NOTHING, _ZEROED = -1, -2

Tell = Callable[[int], None]
"""Told of so many bytes that are done; ends the copying by raising."""

Places = NDArray[np.int64]


def copy_down(base: Layer, overlays: Sequence[Layer], tell: Tell, blocks: int, direct: bool) -> int:
    """Write what the overlays, lowest first, hold together into the base, and make it durable.

    `blocks` are done at a time. Returns the bytes written, without those that the base only shares.
    Raises OSError, LayerDamagedError, and whatever `tell` raises; nothing is under way then.
    """
    with ExitStack() as closing:
        copying = _Copying(base, overlays, tell, min(blocks, MOST_BLOCKS), direct, closing)
        copying.run()
        return copying.written


class _Copying:
    def __init__(
        self,
        base: Layer,
        overlays: Sequence[Layer],
        tell: Tell,
        blocks: int,
        direct: bool,
        closing: ExitStack,
    ) -> None:
        self._tell = tell
        self._base_path = base.path
        self._blocks = blocks
        self._overlays = []
        for layer in overlays:
            overlay = Overlay(layer)
            closing.callback(overlay.close)
            self._overlays.append(overlay)
        # Files of their own: tables are read through the page cache.
        self._sources = [_open(layer, os.O_RDONLY, closing) for layer in overlays]
        self._files = np.array(self._sources, dtype=np.int64)
        self._base = _open(base, os.O_RDWR, closing)
        self._cloning = Cloning(self._base, lambda: tell(0))
        if direct:
            for file in (*self._sources, self._base):
                with suppress(OSError):
                    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_DIRECT)
        self._many = ManyRequests(IN_FLIGHT)
        closing.callback(self._many.close)
        # Two halves by turns: one is read into while the other is written.
        memory = np.frombuffer(mmap.mmap(-1, 2 * blocks * BLOCK_SIZE), dtype=np.uint64)
        self._halves = memory.reshape(2, blocks, BLOCK_SIZE // 8)
        self._to_write: Requests | None = None
        self._may_punch = True
        self.written = 0

    def run(self) -> None:
        for number in sorted({n for overlay in self._overlays for n in overlay.windows()}):
            self._copy_window(number)
        self._do([])
        sync_data(self._base_path)

    def _copy_window(self, number: int) -> None:
        source, place = self._resolve(number)
        start = number * WINDOW
        blocks = np.flatnonzero(source >= 0)
        files = self._files[source[blocks]]
        shared = self._cloning.share(start + blocks * BLOCK_SIZE, files, place[blocks])
        blocks = blocks[~shared]
        for first in range(0, len(blocks), self._blocks):
            part = blocks[first : first + self._blocks]
            self._copy(start + part * BLOCK_SIZE, source[part], place[part])
        edges = np.flatnonzero(np.diff(source == _ZEROED, prepend=False, append=False))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            self._punch(start + begin * BLOCK_SIZE, (end - begin) * BLOCK_SIZE)

    def _resolve(self, number: int) -> tuple[NDArray[np.int16], Places]:
        """For each block of a window the overlay that has it, and where in its file."""
        source = np.full(WINDOW_BLOCKS, _NOTHING, dtype=np.int16)
        place = np.zeros(WINDOW_BLOCKS, dtype=np.int64)
        for layer in range(len(self._overlays) - 1, -1, -1):
            content = self._overlays[layer].window(number)
            if content is not None:
                state, places = content
                open_ = source == _NOTHING
                data = open_ & (state == DATA)
                source[data] = layer
                place[data] = places[data]
                source[open_ & (state == ZERO)] = _ZEROED
        return source, place

    def _copy(self, offsets: Places, source: NDArray[np.int16], place: Places) -> None:
        """Read these blocks, while those read before are written."""
        count = len(offsets)
        breaks = (np.diff(place) != BLOCK_SIZE) | (np.diff(source) != 0)
        starts, lengths = _runs(breaks | _too_long(count))
        self._halves = self._halves[::-1]
        half = self._halves[0]
        address = half.ctypes.data
        files, memory = self._files[source[starts]], address + starts * BLOCK_SIZE
        read = requests(READ, files, memory, lengths, place[starts])
        self._do([read])
        self._tell(count * BLOCK_SIZE)
        self._to_write = self._writes(offsets, half[:count])

    def _writes(self, offsets: Places, content: NDArray[np.uint64]) -> Requests:
        """What writes these blocks; those that are zeros become holes."""
        apart = np.diff(offsets) != BLOCK_SIZE
        zero = _worth_a_hole(np.logical_not(content.any(axis=1)), apart)
        starts, lengths = _runs(apart | (np.diff(zero) != 0) | _too_long(len(offsets)))
        for run in np.flatnonzero(zero[starts]).tolist():
            self._punch(int(offsets[starts[run]]), int(lengths[run]))
        data = ~zero[starts]
        starts, lengths = starts[data], lengths[data]
        address = content.ctypes.data
        return requests(WRITE, self._base, address + starts * BLOCK_SIZE, lengths, offsets[starts])

    def _do(self, reads: list[Requests]) -> None:
        """Do these reads and the writes that are due."""
        due = [] if self._to_write is None else [self._to_write]
        self._to_write = None
        try:
            self._many.run([*due, *reads])
        except RequestError as error:
            # Some file systems let O_DIRECT be set and refuse to read or write then.
            if error.errno != errno.EINVAL or not self._be_cached():
                raise self._explained(error) from error
            self._many.run([*due, *reads])
        self.written += sum(int(one["length"].sum()) for one in due)

    def _be_cached(self) -> bool:
        """Use the page cache from now on; False if that is so already."""
        files = (*self._sources, self._base)
        flags = [fcntl.fcntl(file, fcntl.F_GETFL) for file in files]
        for file, known in zip(files, flags, strict=True):
            fcntl.fcntl(file, fcntl.F_SETFL, known & ~os.O_DIRECT)
        return any(known & os.O_DIRECT for known in flags)

    def _explained(self, error: RequestError) -> Exception:
        if error.errno == errno.ENODATA and error.kind == READ:
            path = self._overlays[self._sources.index(error.file)].path
            return LayerDamagedError(f"layer {path} is truncated")
        return error

    def _punch(self, offset: int, length: int) -> None:
        """Make the range read as zeros, and give its room back where the file system can."""
        for begin in range(offset, offset + length, _HOLE):
            self._tell(0)
            self._punch_one(begin, min(_HOLE, offset + length - begin))

    def _punch_one(self, offset: int, length: int) -> None:
        try:
            if os.lseek(self._base, offset, os.SEEK_DATA) >= offset + length:
                return
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        if self._may_punch and punch(self._base, offset, length):
            return
        self._may_punch = False
        zeros = mmap.mmap(-1, _RUN_BLOCKS * BLOCK_SIZE)
        address = np.frombuffer(zeros, dtype=np.uint8).ctypes.data
        starts = np.arange(offset, offset + length, len(zeros))
        lengths = np.minimum(len(zeros), offset + length - starts)
        memory = np.full_like(starts, address)
        self._many.run([requests(WRITE, self._base, memory, lengths, starts)])


def _open(layer: Layer, flags: int, closing: ExitStack) -> int:
    file = os.open(layer.path, flags | os.O_CLOEXEC)
    closing.callback(os.close, file)
    return file


def _too_long(count: int) -> NDArray[np.bool_]:
    """Where runs of so many blocks are cut, whatever they are."""
    cut: NDArray[np.bool_] = np.arange(1, count) % _RUN_BLOCKS == 0
    return cut


def _runs(breaks: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Where runs of blocks start, and how many bytes they have."""
    starts = np.concatenate(([0], np.flatnonzero(breaks) + 1)).astype(np.int64)
    lengths = np.diff(starts, append=len(breaks) + 1) * BLOCK_SIZE
    return starts, lengths


def _worth_a_hole(zero: NDArray[np.bool_], apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The zeros without short runs of them that lie beside data."""
    if not zero.any():
        return zero
    starts, lengths = _runs(apart | (np.diff(zero) != 0))
    beside = np.zeros(len(starts), dtype=bool)
    touching = ~apart[starts[1:] - 1]
    beside[1:] |= touching
    beside[:-1] |= touching
    short = beside & (lengths < _SHORT_BLOCKS * BLOCK_SIZE)
    kept = zero[starts] & ~short
    return np.repeat(kept, lengths // BLOCK_SIZE)
