"""Copies a file with its holes, past the page cache, giving way to others."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mooring.files import write_at
from mooring.host.many_requests import READ, WRITE, ManyRequests, RequestError, Requests, requests
from mooring.host.pace import Rests
from mooring.model.extents import BLOCK_SIZE

PIECE = 4 * 1024 * 1024
"""Bytes read, then written, then rested for."""

IN_FLIGHT = 8
"""Requests at once: others wait behind them."""

_RUN = 512 * 1024
"""Most bytes of one request."""

Places = NDArray[np.int64]


def copy_whole(source: int, target: int, progress: Callable[[int], None], rests: Rests) -> None:
    """Make the empty file `target` like `source`, which nobody changes; both are descriptors.

    `progress` is told the bytes done so far, and ends the copying by raising; nothing is under
    way then. What is written is not durable yet. Raises OSError.
    """
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    whole = size // BLOCK_SIZE * BLOCK_SIZE
    done = 0
    copying = _Copying(source, target)
    try:
        for offsets, lengths in _pieces(source, whole):
            with rests.piece():
                copying.copy(offsets, lengths)
            done += int(lengths.sum())
            progress(done)
    finally:
        copying.close()
    write_at(target, whole, os.pread(source, size - whole, whole))


def _pieces(file: int, size: int) -> Iterator[tuple[Places, Places]]:
    """Where data are, and how many bytes, as the requests of one piece after the other."""
    found: list[tuple[int, int]] = []
    room = PIECE
    for begin, end in _data(file, size):
        at = begin
        while at < end:
            length = min(end - at, _RUN, room)
            found.append((at, length))
            at, room = at + length, room - length
            if not room:
                yield _arrays(found)
                found, room = [], PIECE
    if found:
        yield _arrays(found)


def _arrays(found: list[tuple[int, int]]) -> tuple[Places, Places]:
    columns = np.array(found, dtype=np.int64)
    return columns[:, 0], columns[:, 1]


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """Where data begin and end, in whole blocks."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        begin -= begin % BLOCK_SIZE
        end = min(-(-end // BLOCK_SIZE) * BLOCK_SIZE, size)
        if begin < end:
            yield begin, end


class _Copying:
    def __init__(self, *files: int) -> None:
        self._files = files
        # The flags belong to the opened file, which may be the caller's for other things.
        self._flags = [fcntl.fcntl(file, fcntl.F_GETFL) for file in files]
        for file, flags in zip(files, self._flags, strict=True):
            with suppress(OSError):
                fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT)
        self._many = ManyRequests(IN_FLIGHT)
        self._memory = np.frombuffer(mmap.mmap(-1, PIECE), dtype=np.uint8)

    def copy(self, offsets: Places, lengths: Places) -> None:
        memory = self._memory.ctypes.data + np.cumsum(lengths) - lengths
        for kind, file in zip((READ, WRITE), self._files, strict=True):
            self._do(requests(kind, file, memory, lengths, offsets))

    def _do(self, wanted: Requests) -> None:
        try:
            self._many.run([wanted])
        except RequestError as error:
            # Some file systems let O_DIRECT be set and refuse to read or write then.
            if error.errno != errno.EINVAL or not self._be_cached():
                raise
            self._many.run([wanted])

    def _be_cached(self) -> bool:
        """Use the page cache from now on; False if that is so already."""
        direct = any(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT for file in self._files)
        self._restore()
        return direct

    def _restore(self) -> None:
        for file, flags in zip(self._files, self._flags, strict=True):
            fcntl.fcntl(file, fcntl.F_SETFL, flags)

    def close(self) -> None:
        self._many.close()
        self._restore()
