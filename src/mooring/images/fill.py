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
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from mooring.model.extents import Extent, Image

PIECE = 4 * 1024 * 1024
WORKERS = 4
AHEAD = 2 * WORKERS
FLUSH_EVERY = 256 * 1024 * 1024


def fill(
    fd: int,
    source: Image,
    progress: Callable[[int], None],
    *,
    start: int = 0,
    reached: Callable[[int, bool], None] = lambda position, durable: None,
) -> None:
    """Write what `source` holds into the file of zeros `fd`, leaving holes where it has them.

    Reads and writes pieces of 4 MiB, several at a time; `progress` is called in order, from
    this thread, with the bytes done so far, and ends the copying by raising. What lies before
    the position `start` is left out. `reached` is told the position up to which all is written,
    and whether it is durable.
    """
    done = flushed = 0
    pending: deque[tuple[Extent, Future[None]]] = deque()

    def finish_one() -> None:
        nonlocal done, flushed
        piece, future = pending.popleft()
        future.result()
        done += piece.length
        durable = done - flushed >= FLUSH_EVERY
        if durable:
            # Little at a time, so that the last flush is short and other disks' are too.
            os.fdatasync(fd)
            flushed = done
        reached(piece.end, durable)
        progress(done)

    copying = _Copying(fd, source)
    with ThreadPoolExecutor(WORKERS, "fill") as pool:
        try:
            for piece in _pieces(source, start):
                pending.append((piece, pool.submit(copying.copy, piece)))
                if len(pending) >= AHEAD:
                    finish_one()
            while pending:
                finish_one()
        finally:
            for _, future in pending:
                future.cancel()


def _pieces(source: Image, start: int) -> Iterator[Extent]:
    for extent in source.extents():
        if not extent.zero:
            for offset in range(max(extent.offset, start), extent.end, PIECE):
                yield Extent(offset, min(PIECE, extent.end - offset))


class _Copying:
    """Copies pieces, each thread with a buffer of its own."""

    def __init__(self, fd: int, source: Image) -> None:
        self._fd = fd
        self._source = source
        self._threads = threading.local()
        self._cached = fcntl.fcntl(fd, fcntl.F_GETFL)
        with suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETFL, self._cached | os.O_DIRECT)

    def copy(self, piece: Extent) -> None:
        buffer = self._buffer()[: piece.length]
        buffer[:] = self._source.read(piece.offset, piece.length)
        words = np.frombuffer(buffer, np.uint64)
        # A few tell at once of most pieces that they are not zeros.
        if not words[::512].any() and not words.any():
            return
        done = 0
        refused = False
        while done < piece.length:
            try:
                done += os.pwrite(self._fd, buffer[done:], piece.offset + done)
            except OSError as error:
                # Some file systems let it be set and refuse to write then, or want larger blocks.
                if error.errno != errno.EINVAL or refused:
                    raise
                refused = True
                fcntl.fcntl(self._fd, fcntl.F_SETFL, self._cached)

    def _buffer(self) -> memoryview:
        """Memory that begins at a page, as writing past the page cache needs it."""
        if not hasattr(self._threads, "buffer"):
            self._threads.buffer = memoryview(mmap.mmap(-1, PIECE))
        buffer: memoryview = self._threads.buffer
        return buffer
