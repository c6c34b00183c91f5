"""Goes through the data of an image piece by piece, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from mooring.model.extents import Extent, Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How much is done at a time."""

    piece: int = 4 * 1024 * 1024
    """Bytes of a piece, at most."""

    workers: int = 4
    """Threads, each with a piece."""

    ahead: int = 8
    """Pieces begun before the first is done."""

    flush: int = 256 * 1024 * 1024
    """Bytes written before they are made durable: what an interruption may cost."""


STEPS = Steps()


def nothing() -> None:
    """Nobody has to know."""


def data_bytes(image: Image) -> int:
    """How much of the image is not known to be zeros."""
    return sum(extent.length for extent in image.extents() if not extent.zero)


def each_piece(
    source: Image,
    work: Callable[[Extent], None],
    done: Callable[[Extent], None],
    *,
    start: int = 0,
    steps: Steps = STEPS,
    give_up: Callable[[], None] = nothing,
) -> None:
    """Call `work` in a few threads for all of the image that is not zeros from `start` on.

    `done` is called for each piece afterwards, in order, from this thread, and ends all by
    raising. Then, or if `work` raises, `give_up` is called, before what is under way is waited
    for.
    """
    pending: deque[tuple[Extent, Future[None]]] = deque()

    def finish_one() -> None:
        piece, future = pending.popleft()
        future.result()
        done(piece)

    with ThreadPoolExecutor(steps.workers, "pieces") as pool:
        try:
            for piece in _pieces(source, start, steps.piece):
                pending.append((piece, pool.submit(work, piece)))
                if len(pending) >= steps.ahead:
                    finish_one()
            while pending:
                finish_one()
        except BaseException:
            for _, future in pending:
                future.cancel()
            give_up()
            raise


def _pieces(source: Image, start: int, largest: int) -> Iterator[Extent]:
    for extent in source.extents():
        if not extent.zero:
            for offset in range(max(extent.offset, start), extent.end, largest):
                yield Extent(offset, min(largest, extent.end - offset))
