"""Writes an image into a raw file: sparse, durable, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from mooring.images.compare import DiffersError, compare
from mooring.images.fill import fill
from mooring.images.pieces import data_bytes
from mooring.model.errors import StoreError
from mooring.model.extents import Buffer, Extent, Image

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_raw(image: Image, path: Path, progress: Callable[[int], None]) -> None:
    """Write the image into a new file, for this user alone; nothing that is there is touched.

    What the image leaves out stays a hole. When it returns, the file is durable and has been read
    back. `progress` is told the bytes written and those compared, twice `data_bytes` in the end,
    and may raise to give up. Raises StoreError if what was read back is not what was written;
    OSError if there is no room, or something of that name; what the image raises.
    """
    source = _Digested(image)
    total = data_bytes(image)
    fd = os.open(path, _NEW, 0o600)
    try:
        os.ftruncate(fd, image.size)
        fill(fd, source, progress)
        os.fsync(fd)
        compare(fd, source, lambda done: progress(total + done), same=source.same)
    except DiffersError as error:
        raise StoreError(
            f"{path} does not hold what was written to it at byte {error.offset}"
        ) from None
    finally:
        os.close(fd)


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

    def same(self, extent: Extent, data: Buffer) -> bool:
        """Whether that is what was read there."""
        return self.digests[extent.offset, extent.length] == blake3(data).digest()

    def close(self) -> None:
        """The image stays its owner's to close."""
