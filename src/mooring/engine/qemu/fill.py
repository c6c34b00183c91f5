"""Filling the base of a new disk from an image."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from mooring.model.extents import Extent, Image

PIECE = 4 * 1024 * 1024
WORKERS = 4
AHEAD = 2 * WORKERS
FLUSH_EVERY = 256 * 1024 * 1024
_ZEROS = bytes(PIECE)


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

    with ThreadPoolExecutor(WORKERS, "fill") as pool:
        try:
            for piece in _pieces(source, start):
                pending.append((piece, pool.submit(_copy, fd, source, piece)))
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


def _copy(fd: int, source: Image, piece: Extent) -> None:
    data = source.read(piece.offset, piece.length)
    if data == _ZEROS[: len(data)]:
        return
    view = memoryview(data)
    offset = piece.offset
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written
