"""Writes an image into a raw file: sparse, durable, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from mooring.images.fill import fill
from mooring.model.errors import StoreError
from mooring.model.extents import Buffer, Extent, Image

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITTEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def data_bytes(image: Image) -> int:
    """How much of the image is not known to be zeros."""
    return sum(extent.length for extent in image.extents() if not extent.zero)


def write_raw(image: Image, path: Path, progress: Callable[[int], None]) -> None:
    """Write the image into a new file, for this user alone; nothing that is there is touched.

    What the image leaves out stays a hole. When it returns, the file is durable and has been read
    back. `progress` is told the bytes written and those compared, twice `data_bytes` in the end,
    and may raise to give up. Raises StoreError if what was read back is not what was written;
    OSError if there is no room, or something of that name; what the image raises.
    """
    source = _Digested(image)
    fd = os.open(path, _NEW, 0o600)
    try:
        os.ftruncate(fd, image.size)
        fill(fd, source, progress)
        os.fsync(fd)
        # From the disk, as far as the system lets us, not from memory.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    _compare(path, source, progress)


class _Digested:
    """An image that remembers the digests of all that was read of it."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.size = image.size
        self.digests: dict[tuple[int, int], bytes] = {}

    def extents(self) -> Iterator[Extent]:
        return self._image.extents()

    def read(self, offset: int, length: int) -> Buffer:
        data = self._image.read(offset, length)
        self.digests[offset, length] = blake3(data).digest()
        return data

    def close(self) -> None:
        """The image stays its owner's to close."""


def _compare(path: Path, source: _Digested, progress: Callable[[int], None]) -> None:
    fd = os.open(path, _WRITTEN)
    try:
        done = data_bytes(source)
        for (offset, length), digest in sorted(source.digests.items()):
            if blake3(_read_all(fd, offset, length)).digest() != digest:
                raise StoreError(f"{path} does not hold what was written to it at byte {offset}")
            done += length
            progress(done)
    finally:
        os.close(fd)


def _read_all(fd: int, offset: int, length: int) -> bytes:
    parts = []
    while length:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
