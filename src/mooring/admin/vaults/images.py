"""Images of disks that a command reads: files, block devices, NBD exports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mooring.model.errors import ConfigurationError, NbdError
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import SCHEMES
from mooring.vault.vault import Readable


@contextmanager
def opened_images(places: Sequence[str]) -> Iterator[list[Readable]]:
    """Open paths of raw images and devices, and NBD URIs. Raises ConfigurationError."""
    with ExitStack() as stack:
        images: list[Readable] = []
        for place in places:
            image = _open(place)
            stack.callback(image.close)
            images.append(image)
        yield images


def _open(place: str) -> RawImage | NbdImage:
    try:
        if place.partition(":")[0] in SCHEMES:
            return NbdImage(place)
        return RawImage(place)
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be read: {error.strerror}") from error
    except NbdError as error:
        raise ConfigurationError(f"{place} cannot be read: {error}") from error


class RawImage:
    """A file or a block device."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.lseek(self._fd, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        os.close(self._fd)


class NbdImage:
    """An export, for example that of an attached disk."""

    def __init__(self, uri: str) -> None:
        self._client = BlockingNbdClient(uri, contexts=())
        self.size = self._client.info.size

    def read(self, offset: int, length: int) -> bytes:
        return self._client.read(offset, length)

    def close(self) -> None:
        self._client.close()
