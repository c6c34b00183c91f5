"""Compares a raw file with an image."""

from __future__ import annotations

import os
from collections.abc import Callable

from mooring.files import read_at
from mooring.images.pieces import STEPS, Steps, each_piece, nothing
from mooring.model.extents import Buffer, Edges, Extent, Image

Same = Callable[[Extent, Buffer], bool]
"""Whether the image holds these bytes there."""


class DiffersError(Exception):
    """The file is not as the image is; `offset` is a place near which."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"differs near byte {offset}")
        self.offset = offset


def compare(
    fd: int,
    source: Image,
    progress: Callable[[int], None],
    *,
    same: Same | None = None,
    steps: Steps = STEPS,
    give_up: Callable[[], None] = nothing,
) -> None:
    """See that the file holds what `source` holds, and zeros elsewhere. Raises DiffersError.

    `progress` and `give_up` are as of `fill`. `same` stands in for reading the source again.
    """
    if os.fstat(fd).st_size != source.size:
        raise DiffersError(source.size)
    # From the disk, as far as the system lets us, not from memory.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    _check_zeros(fd, source, steps.piece)
    done = 0

    def read_again(piece: Extent, data: Buffer) -> bool:
        # Views are compared byte by byte.
        return bytes(source.read(piece.offset, piece.length)) == data

    def work(piece: Extent) -> None:
        if not (same or read_again)(piece, read_at(fd, piece.offset, piece.length)):
            raise DiffersError(piece.offset)

    def finish(piece: Extent) -> None:
        nonlocal done
        done += piece.length
        progress(done)

    each_piece(source, work, finish, steps=steps, give_up=give_up)


def _check_zeros(fd: int, source: Image, piece: int) -> None:
    """Raise DiffersError where the file holds something and the image says that it has zeros."""
    edges, at = Edges(source.extents()), 0
    while at < source.size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        while at < end:
            in_data, change = edges.at(at)
            until = end if change is None else min(change, end)
            while not in_data and at < until:
                data = os.pread(fd, min(piece, until - at), at)
                if data != bytes(len(data)):
                    raise DiffersError(at)
                at += len(data)
            at = until
