"""Fills a file of zeros from an image.

Past the page cache where the file system allows it: the device writes all the time instead of in
bursts when it is told to, a copy is saved, and what other disks have in memory stays there.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable
from contextlib import suppress

from mooring.images.pieces import STEPS, Steps, each_piece, nothing
from mooring.model.extents import Extent, Image

_HOLE = 64 * 1024
"""Zeros that fill that much, from a multiple of it on, are left out."""
_ZEROS = bytes(_HOLE)


def fill(
    fd: int,
    source: Image,
    progress: Callable[[int], None],
    *,
    start: int = 0,
    reached: Callable[[int, bool], None] = lambda position, durable: None,
    steps: Steps = STEPS,
    give_up: Callable[[], None] = nothing,
) -> None:
    """Write what `source` holds into the file of zeros `fd`, leaving holes where it has zeros.

    Reads and writes several pieces at a time; `progress` is called in order, from
    this thread, with the bytes done so far, and ends the copying by raising. What lies before
    the position `start` is left out. `reached` is told the position up to which all is written,
    and whether it is durable. `give_up` is called when the copying has failed, and has to end the
    reads under way if these may wait for ever.
    """
    done = flushed = 0

    def finish(piece: Extent) -> None:
        nonlocal done, flushed
        done += piece.length
        durable = done - flushed >= steps.flush
        if durable:
            # Little at a time, so that the last flush is short and other disks' are too.
            os.fdatasync(fd)
            flushed = done
        reached(piece.end, durable)
        progress(done)

    copying = _Copying(fd, source, steps.piece)
    try:
        each_piece(source, copying.copy, finish, start=start, steps=steps, give_up=give_up)
    finally:
        copying.close()


class _Copying:
    """Copies pieces, each thread with a buffer of its own."""

    def __init__(self, fd: int, source: Image, largest: int) -> None:
        self._fd = fd
        self._source = source
        self._largest = largest
        self._threads = threading.local()
        self._cached = fcntl.fcntl(fd, fcntl.F_GETFL)
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETFL, self._cached | os.O_DIRECT)

    def copy(self, piece: Extent) -> None:
        buffer = self._buffer()[: piece.length]
        buffer[:] = self._source.read(piece.offset, piece.length)
        begin = 0
        for at in range(0, piece.length, _HOLE):
            end = min(at + _HOLE, piece.length)
            # The first byte tells at once of most that they are not zeros.
            if not buffer[at] and buffer[at:end].tobytes() == _ZEROS[: end - at]:
                self._write(buffer[begin:at], piece.offset + begin)
                begin = end
        self._write(buffer[begin:], piece.offset + begin)

    def close(self) -> None:
        """Leave the file as it was opened."""
        with suppress(OSError):
            fcntl.fcntl(self._fd, fcntl.F_SETFL, self._cached)

    def _write(self, data: memoryview, offset: int) -> None:
        done = 0
        refused = False
        while done < len(data):
            try:
                done += os.pwrite(self._fd, data[done:], offset + done)
            except OSError as error:
                # Some file systems let it be set and refuse to write then, or want larger blocks.
                if error.errno != errno.EINVAL or refused:
                    raise
                refused = True
                fcntl.fcntl(self._fd, fcntl.F_SETFL, self._cached)

    def _buffer(self) -> memoryview:
        """Memory that begins at a page, as writing past the page cache needs it."""
        if not hasattr(self._threads, "buffer"):
            self._threads.buffer = memoryview(mmap.mmap(-1, self._largest))
        buffer: memoryview = self._threads.buffer
        return buffer
