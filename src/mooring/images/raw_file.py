"""Writes an image into a raw file: sparse, durable, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from mooring.files import write_at
from mooring.model.errors import StoreError
from mooring.model.extents import Image

CHUNK = 4 * 1024 * 1024
"""Bytes read and written at once."""


_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


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
    fd = os.open(path, _NEW, 0o600)
    try:
        os.ftruncate(fd, image.size)
        written: list[tuple[int, int, bytes]] = []
        done = 0
        for offset, length in _chunks(image):
            data = image.read(offset, length)
            write_at(fd, offset, data)
            written.append((offset, length, blake3(data).digest()))
            done += length
            progress(done)
        os.fsync(fd)
        # From the disk, as far as the system lets us, not from memory.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        for offset, length, digest in written:
            if blake3(_read_all(fd, offset, length)).digest() != digest:
                raise StoreError(f"{path} does not hold what was written to it at byte {offset}")
            done += length
            progress(done)
    finally:
        os.close(fd)


def _chunks(image: Image) -> Iterator[tuple[int, int]]:
    for extent in image.extents():
        if extent.zero:
            continue
        for offset in range(extent.offset, extent.end, CHUNK):
            yield offset, min(CHUNK, extent.end - offset)


def _read_all(fd: int, offset: int, length: int) -> bytes:
    parts = []
    while length:
        part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)
