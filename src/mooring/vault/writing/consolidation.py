"""Finds what has been scattered over many frames, to rewrite it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mooring.model.extents import Extent
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES, PAGE_BLOCKS
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.map_reader import MapReader
from mooring.vault.reading.slots import frame_numbers
from mooring.vault.writing.framing import STRETCH_FRAMES

CONSOLIDATE_FRAMES = 56
"""A piece in more frames than this is written again as a whole; docs/design/vault.md has why."""

SPREAD = 0.25
"""By what part a stretch's limit may be above or below that.

With the same limit everywhere, a disk that is written evenly is due everywhere at the same time:
all of it is at its worst before that, and snapshots one after the other write a lot again.
"""

AGAIN_FACTOR = 2
"""A snapshot writes again at most this many times what changed, and less than one stretch.

A piece is scattered after some 56 changes, and has 128 blocks: with 2 few pieces wait for long.
With less the budget is spent on the disk's first pieces, and the last are never written again.
"""

STRETCH_BYTES = STRETCH_FRAMES * FRAME_BYTES
_PAGE_FRAMES = PAGE_BLOCKS // FRAME_BLOCKS
_GOLDEN = (5**0.5 - 1) / 2


class Scatter:
    """Counts the frames that the pieces of a snapshot are in.

    A piece is an aligned range of `FRAME_BLOCKS` blocks: what a writer puts into one frame if it
    gets all of it. With every snapshot that changes a few of its blocks it lies in more frames,
    and reading it takes longer. Pieces of a stretch have frames in common, so those that are
    scattered are written again together: then nobody needs these frames any more.
    """

    def __init__(self, root: Root, frames: Frames) -> None:
        self._map = MapReader(root, frames)
        self._number = -1
        self._counts: Array | None = None

    def scattered(self, stretch: int, limit: int) -> list[int]:
        """The numbers of the pieces of that stretch to be written again, ascending.

        If one is in more frames than the limit of the stretch, all are that are in half as many.
        Raises DamageError, StoreError.
        """
        first = stretch * STRETCH_FRAMES
        counts = self._of_page(first // _PAGE_FRAMES)
        if counts is None:
            return []
        counts = counts[first % _PAGE_FRAMES :][:STRETCH_FRAMES]
        own_limit = stretch_limit(stretch, limit)
        if counts.max() <= own_limit:
            return []
        return (np.flatnonzero(counts > own_limit // 2) + first).tolist()

    def frames(self, piece: int) -> int:
        """In how many frames the piece with that number is. Raises DamageError, StoreError."""
        counts = self._of_page(piece // _PAGE_FRAMES)
        return 0 if counts is None else int(counts[piece % _PAGE_FRAMES])

    def _of_page(self, number: int) -> Array | None:
        if number != self._number:
            self._counts = self._count(number)
            self._number = number
        return self._counts

    def _count(self, number: int) -> Array | None:
        page = self._map.page(number)
        if page is None:
            return None
        places = frame_numbers(page).astype(np.int64)
        places[page.segment == 0] = -1
        places = np.sort(places.reshape(-1, FRAME_BLOCKS), axis=1)
        first = np.ones((len(places), 1), bool)
        distinct = np.concatenate([first, places[:, 1:] != places[:, :-1]], axis=1)
        counts: Array = (distinct & (places >= 0)).sum(axis=1)
        return counts


def stretch_limit(stretch: int, limit: int) -> int:
    """The limit of one stretch, when `limit` is the mean: evenly spread, and always the same."""
    return round(limit * (1 - SPREAD + 2 * SPREAD * (stretch * _GOLDEN % 1)))


def consolidated(
    extents: Iterable[Extent], size: int, scatter: Scatter, limit: int
) -> Iterator[tuple[Extent, bool]]:
    """Yield the extents, and with True what to write again so that pieces become whole.

    `extents` and what is yielded ascend without overlap. In a stretch that holds changed data,
    the pieces that are `scattered` are filled up with what has not changed in them, unless
    more than `AGAIN_FACTOR` times what changed so far has been written again already. What
    lies before a zeroed range in a stretch is left as it is, if no changed data comes before.
    """
    reached = changed = again = 0
    decided = -1
    chosen: list[int] = []

    def gap(until: int) -> Iterator[tuple[Extent, bool]]:
        """What is missing of the chosen pieces, up to there at most."""
        nonlocal reached, again
        for piece in chosen:
            start = max(reached, piece * FRAME_BYTES)
            end = min(until, (piece + 1) * FRAME_BYTES, size)
            if start < end:
                again += end - start
                reached = end
                yield Extent(start, end - start), True

    for extent in extents:
        yield from gap(extent.offset)
        if not extent.zero:
            changed += extent.length
            first, last = extent.offset // STRETCH_BYTES, (extent.end - 1) // STRETCH_BYTES
            # Those between are written as a whole anyway.
            for stretch in (first, last):
                if stretch == decided:
                    continue
                decided = stretch
                affordable = again <= AGAIN_FACTOR * changed
                chosen = scatter.scattered(stretch, limit) if affordable else []
                if stretch == first:
                    yield from gap(extent.offset)
        yield extent, False
        reached = extent.end
    yield from gap(size)
