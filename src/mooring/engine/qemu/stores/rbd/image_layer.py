"""A layer that is an image: read from its objects, written through the library."""

from __future__ import annotations

import errno
import os
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.names import ImageName, Names
from mooring.engine.qemu.stores.store import Reached
from mooring.images.pieces import STEPS, each_piece
from mooring.model.errors import LayerDamagedError
from mooring.model.extents import Extent, Image

OBJECT_BYTES = 4 * 1024 * 1024
_EXACT_BYTES = 64 * OBJECT_BYTES
"""A part of the image in which data and holes are looked up exactly: a request for each object."""

_AT_ONCE = 16 * 1024 * 1024
"""Bytes that one request reads, so that others come in between."""

_HOLE = 64 * 1024
_ZEROS = bytes(_HOLE)


class Reading:
    """Which images this server has open: they must stay, though nothing names them any more.

    They are read without a watch, so the cluster would remove them, and what is read were zeros.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def begin(self, image: str) -> None:
        """It is opened once more."""
        with self._lock:
            self._open[image] += 1

    def end(self, image: str) -> None:
        """It is closed once."""
        with self._lock:
            self._open[image] -= 1
            if not self._open[image]:
                del self._open[image]

    def __contains__(self, image: str) -> bool:
        with self._lock:
            return image in self._open


class ImageLayer:
    """An image, open. What is written is durable at once, and needs no flush."""

    def __init__(
        self, client: CephClient, names: Names, reading: Reading, path: Path, image: ImageName
    ) -> None:
        self._client, self._names, self._reading = client, names, reading
        self._path, self.image = path, image
        self._closed = False
        reading.begin(image.image)
        self._handle: int | None = None
        self._size: int | None = None
        self._objects: list[tuple[int, int]] | None = None
        self._exact: dict[int, list[tuple[int, int]]] = {}

    @property
    def path(self) -> Path:
        return self._path

    def size(self) -> int:
        if self._size is None:
            self._size = int(self._client.ask("size", image_id=self.image.id)["size"])
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size() - offset))
        if not length:
            return b""
        return self._client.ask_data("read", image_id=self.image.id, parts=[[offset, length]])

    def read_parts(self, parts: Sequence[tuple[memoryview, int]]) -> None:
        due: list[tuple[memoryview, int]] = []
        amount = 0
        for part, offset in parts:
            if offset + len(part) > self.size():
                raise LayerDamagedError(f"layer {self._path} is truncated at {self.size()}")
            if amount + len(part) > _AT_ONCE:
                self._read(due)
                due, amount = [], 0
            due.append((part, offset))
            amount += len(part)
        self._read(due)

    def _read(self, parts: list[tuple[memoryview, int]]) -> None:
        if not parts:
            return
        wanted = [[offset, len(part)] for part, offset in parts]
        data = memoryview(self._client.ask_data("read", image_id=self.image.id, parts=wanted))
        for part, _ in parts:
            part[:], data = data[: len(part)], data[len(part) :]

    def seek(self, offset: int, whence: int) -> int:
        size = self.size()
        if offset >= size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        at = offset
        while at < size:
            begin, end = self._data_at(at)
            if whence == os.SEEK_DATA and begin <= at < end:
                return at
            if whence == os.SEEK_HOLE and not begin <= at < end:
                return at
            at = begin if at < begin else end
        if whence == os.SEEK_HOLE:
            return size
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))

    def will_need(self, offset: int, length: int) -> None:
        """Nothing is read ahead."""

    def was_read(self) -> None:
        """Nothing is kept of what was read."""

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        if not data:
            return
        if offset + len(data) > self.size():
            self.resize(offset + len(data))
        self._client.ask("write", bytes(data), handle=self._opened(), offset=offset)
        self._forget_data()

    def overwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        try:
            self._client.ask("overwrite", bytes(data), image_id=self.image.id, offset=offset)
        except FileNotFoundError as error:
            raise LayerDamagedError(f"layer {self._path} has nothing at {offset}") from error

    def fill(
        self,
        source: Image,
        progress: Callable[[int], None],
        *,
        start: int = 0,
        reached: Reached = lambda position, durable: None,
    ) -> None:
        done = told = 0
        self._opened()

        def finish(piece: Extent) -> None:
            nonlocal done, told
            done += piece.length
            durable = done - told >= STEPS.flush
            told = done if durable else told
            reached(piece.end, durable)
            progress(done)

        def copy(piece: Extent) -> None:
            data = memoryview(source.read(piece.offset, piece.length))
            begin = 0
            for at in range(0, len(data), _HOLE):
                end = min(at + _HOLE, len(data))
                if data[at:end] == _ZEROS[: end - at]:
                    self.write(piece.offset + begin, data[begin:at])
                    begin = end
            self.write(piece.offset + begin, data[begin:])

        each_piece(source, copy, finish, start=start)

    def resize(self, size: int) -> None:
        if size > self.size():
            self.resize_exactly(size)

    def resize_exactly(self, size: int) -> None:
        """Let the image have that size, also a smaller one."""
        self._client.ask("resize", handle=self._opened(), size=size)
        self._size = size
        self._forget_data()

    def sync(self) -> None:
        if self._handle is not None:
            self._client.ask("flush", handle=self._handle)

    def has_name(self, path: Path) -> bool:
        try:
            return self._names.layer(path) == self.image
        except FileNotFoundError:
            return False

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._reading.end(self.image.image)
        handle, self._handle = self._handle, None
        if handle is not None:
            self._client.ask("close", handle=handle)

    # ---

    def data_from(self, offset: int) -> tuple[int, int] | None:
        """The next data at the offset or after it; None if there are none any more."""
        try:
            begin = self.seek(offset, os.SEEK_DATA)
        except OSError:
            return None
        return begin, self.seek(begin, os.SEEK_HOLE)

    def _opened(self) -> int:
        if self._handle is None:
            self._handle = int(self._client.ask("open", image=self.image.image)["handle"])
        return self._handle

    def _forget_data(self) -> None:
        self._objects = None
        self._exact.clear()

    def _data_at(self, offset: int) -> tuple[int, int]:
        """The data around the offset, or the next after it; at the image's end if there are none.

        First by whole objects, of which there is a map, then exactly in a part of them.
        """
        size = self.size()
        if self._objects is None:
            self._objects = self._extents(0, size, whole=True)
        place = bisect_right(self._objects, (offset, size)) - 1
        inside = place >= 0 and offset < self._objects[place][1]
        if not inside:
            if place + 1 == len(self._objects):
                return size, size
            offset = self._objects[place + 1][0]
        part = offset // _EXACT_BYTES
        start = part * _EXACT_BYTES
        if part not in self._exact:
            if len(self._exact) > 64:
                self._exact.clear()
            self._exact[part] = self._extents(start, _EXACT_BYTES, whole=False)
        for begin, end in self._exact[part]:
            if offset < end:
                return begin, end
        # Nothing more in this part: the next one decides.
        following = start + _EXACT_BYTES
        return (size, size) if following >= size else self._data_at(following)

    def _extents(self, offset: int, length: int, *, whole: bool) -> list[tuple[int, int]]:
        found = self._client.ask(
            "extents", image=self.image.image, offset=offset, length=length, whole=whole
        )["found"]
        joined: list[tuple[int, int]] = []
        for begin, amount in found:
            if joined and joined[-1][1] >= begin:
                joined[-1] = (joined[-1][0], max(joined[-1][1], begin + amount))
            else:
                joined.append((begin, begin + amount))
        return joined
