"""A frozen point, read straight from its layer files."""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mooring.engine.qemu.layers.layer import FILLING_NAME, Layer
from mooring.engine.qemu.layers.qcow2 import DATA, WINDOW, WINDOW_BLOCKS, ZERO, Overlay
from mooring.engine.qemu.reading.source_reader import SourceReader
from mooring.engine.qemu.stores.store import LayerFile
from mooring.model.errors import EngineError, LayerDamagedError, LineageLostError
from mooring.model.extents import BLOCK_SIZE, Extent, joined

HOLE = -1
ZEROED = -2
BASE_SOURCE = 0

WINDOWS_KEPT = 4
"""Resolved windows in memory, 2.5 MiB each."""

READ_AHEAD_SPREAD = 8
"""A window's data are fetched ahead if they lie within this many times their size."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Where each block is: `source` is the layer's place or HOLE or ZEROED, `place` the offset."""

    source: NDArray[np.int16]
    place: NDArray[np.int64]


class QemuFrozenImage:
    """The content below an overlay. The files stay open, so that a merge cannot take them away.

    A merge that continues meanwhile changes only what the layers held open here lie over.
    """

    def __init__(self, layers: Sequence[Layer], point: str, on_close: Callable[[], None]) -> None:
        """`layers` are the base and the overlays below the point. Raises LayerDamagedError."""
        self._point = point
        self._on_close = on_close
        self._lock = threading.Lock()
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        self._points = [layer.point for layer in layers[1:]]
        self._overlays: list[Overlay] = []
        self._base: LayerFile | None = None
        self._source: SourceReader | None = None
        try:
            self._base_path = layers[0].path
            self._store = layers[0].store
            path = self._base_path
            if layers[0].source is not None:
                self._source = SourceReader(layers[0].source)
                path = path.with_name(FILLING_NAME)
            self._base = self._store.open(path)
            for layer in layers[1:]:
                self._overlays.append(Overlay(layer))
            self._size = self._overlays[-1].header.size
        except FileNotFoundError as error:
            self._close_files()
            raise LayerDamagedError(f"layer {layers[0].path} is missing") from error
        except BaseException:
            self._close_files()
            raise

    @property
    def size(self) -> int:
        return self._size

    def extents(self) -> Iterator[Extent]:
        """Yield what any layer holds as data, ascending."""
        return joined(self._runs(self._used_windows(), self._data_in))

    def changes(self, since: str) -> Iterator[Extent]:
        """Yield what the overlays above the point `since` hold, data or zeros."""
        if since == self._point:
            return iter(())
        if since not in self._points:
            raise LineageLostError(
                f"what changed between the points {since} and {self._point} is no longer known"
            )
        # A point frozen again after a failure has two overlays: the later one counts.
        first = len(self._points) - 1 - self._points[::-1].index(since)
        numbers = sorted({n for overlay in self._overlays[first:] for n in overlay.windows()})

        def kinds(window: _Window, number: int) -> NDArray[np.int8]:
            allocated = np.zeros(WINDOW_BLOCKS, dtype=bool)
            for overlay in self._overlays[first:]:
                content = overlay.window(number)
                if content is not None:
                    allocated |= content[0] != 0
            kind = np.where(window.source == ZEROED, ZERO, DATA)
            return np.where(allocated, kind, 0).astype(np.int8)

        return joined(self._runs(iter(numbers), kinds))

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, both multiples of the block size."""
        if offset < 0 or length < 0 or offset + length > self._size:
            raise EngineError(
                f"cannot read {length} bytes at {offset} of a disk of {self._size} bytes"
            )
        buffer = bytearray(length)
        view = memoryview(buffer)
        position = offset
        while position < offset + length:
            number, start = divmod(position, WINDOW)
            part = min(offset + length - position, WINDOW - start)
            self._read_window(number, start, view[position - offset :][:part])
            position += part
        return bytes(buffer)

    def close(self) -> None:
        with self._lock:
            if self._base is None:
                return
            self._close_files()
            self._windows.clear()
        self._on_close()

    # ---

    def _close_files(self) -> None:
        for overlay in self._overlays:
            overlay.file.was_read()
            overlay.close()
        if self._base is not None:
            self._base.close()
            self._base = None
        if self._source is not None:
            self._source.close()

    def _read_window(self, number: int, start: int, view: memoryview) -> None:
        window = self._window(number)
        first, count = start // BLOCK_SIZE, len(view) // BLOCK_SIZE
        source = window.source[first : first + count]
        place = window.place[first : first + count]
        breaks = np.flatnonzero(
            (source[1:] != source[:-1]) | ((place[1:] - place[:-1]) != BLOCK_SIZE)
        )
        starts = np.concatenate(([0], breaks + 1)).tolist()
        ends = np.concatenate((breaks + 1, [count])).tolist()
        wanted: dict[int, list[tuple[memoryview, int]]] = {}
        for begin, end in zip(starts, ends, strict=True):
            layer = int(source[begin])
            if layer >= 0:
                part = view[begin * BLOCK_SIZE : end * BLOCK_SIZE]
                wanted.setdefault(layer, []).append((part, int(place[begin])))
        for layer, parts in wanted.items():
            self._read_parts(layer, parts)

    def _read_parts(self, layer: int, parts: list[tuple[memoryview, int]]) -> None:
        source = self._source_of_base() if layer == BASE_SOURCE else None
        if source is not None:
            for part, offset in parts:
                part[:] = source.read(offset, len(part))
            return
        file = self._overlays[layer - 1].file if layer else self._base
        if file is None:
            raise EngineError(f"layer {self._base_path} is closed")
        file.read_parts(parts)

    def _used_windows(self) -> Iterator[int]:
        upper = sorted({n for overlay in self._overlays for n in overlay.windows()})
        end = -(-self._size // WINDOW)
        number = 0
        for candidate in [*upper, end]:
            # Between windows that overlays hold, hop from one that the base holds to the next.
            while number < candidate:
                data = self._seek(number * WINDOW, os.SEEK_DATA)
                number = max(number, data // WINDOW)
                if number < candidate:
                    yield number
                    number += 1
            if candidate < end:
                yield candidate
            number = candidate + 1

    def _data_in(self, window: _Window, number: int) -> NDArray[np.int8]:
        del number
        return np.where(window.source >= 0, DATA, 0).astype(np.int8)

    def _runs(
        self,
        numbers: Iterator[int],
        kinds: Callable[[_Window, int], NDArray[np.int8]],
    ) -> Iterator[Extent]:
        for number in numbers:
            kind = kinds(self._window(number), number)
            kind[(self._size - number * WINDOW) // BLOCK_SIZE :] = 0
            edges = np.flatnonzero(np.diff(kind, prepend=0, append=0))
            offset = number * WINDOW
            for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                if kind[begin]:
                    yield Extent(
                        offset + begin * BLOCK_SIZE,
                        (end - begin) * BLOCK_SIZE,
                        bool(kind[begin] == ZERO),
                    )

    def _window(self, number: int) -> _Window:
        with self._lock:
            window = self._windows.get(number)
            if window is None:
                window = self._windows[number] = self._resolve(number)
                while len(self._windows) > WINDOWS_KEPT:
                    self._windows.popitem(last=False)
            else:
                self._windows.move_to_end(number)
            return window

    def _resolve(self, number: int) -> _Window:
        source = np.full(WINDOW_BLOCKS, HOLE, dtype=np.int16)
        place = np.zeros(WINDOW_BLOCKS, dtype=np.int64)
        for layer in range(len(self._overlays), 0, -1):
            content = self._overlays[layer - 1].window(number)
            if content is None:
                continue
            state, places = content
            open_ = source == HOLE
            data = open_ & (state == DATA)
            source[data] = layer
            place[data] = places[data]
            source[open_ & (state == ZERO)] = ZEROED
            _fetch_ahead(self._overlays[layer - 1].file, places[data])
        self._resolve_base(number, source, place)
        return _Window(source, place)

    def _resolve_base(
        self, number: int, source: NDArray[np.int16], place: NDArray[np.int64]
    ) -> None:
        start = number * WINDOW
        end = min(start + WINDOW, self._size)
        position = self._seek(start, os.SEEK_DATA)
        while position < end:
            hole = min(self._seek(position, os.SEEK_HOLE), end)
            first = (position - start) // BLOCK_SIZE
            last = -(-(hole - start) // BLOCK_SIZE)
            part = slice(first, last)
            take = source[part] == HOLE
            source[part][take] = BASE_SOURCE
            offsets = np.arange(first, last, dtype=np.int64) * BLOCK_SIZE + start
            place[part][take] = offsets[take]
            position = self._seek(hole, os.SEEK_DATA)

    def _source_of_base(self) -> SourceReader | None:
        """What to read instead of the base while it is being filled; it is the same content."""
        if self._source is not None and self._store.exists(self._base_path):
            return None
        return self._source

    def _seek(self, offset: int, whence: int) -> int:
        """The next data or hole in the base; its size if there is no data any more."""
        if offset >= self._size:
            return self._size
        source = self._source_of_base()
        if source is not None:
            return min(source.seek(offset, whence), self._size)
        if self._base is None:
            raise EngineError(f"layer {self._base_path} is closed")
        try:
            return self._base.seek(offset, whence)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return self._size
            raise LayerDamagedError(f"layer {self._base_path} cannot be read: {error}") from error


def _fetch_ahead(file: LayerFile, places: NDArray[np.int64]) -> None:
    # Overlays are filled in the order of the writes, so reading them in the order of the disk
    # is random access; the kernel fetches a dense one in a fraction of that time.
    if len(places):
        low, high = int(np.min(places)), int(np.max(places)) + BLOCK_SIZE
        if high - low <= READ_AHEAD_SPREAD * len(places) * BLOCK_SIZE:
            file.will_need(low, high - low)
