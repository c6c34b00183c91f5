"""Finds what has come to lie in many frames, to write it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mooring.model.extents import Extent
from mooring.vault.frames import Frames
from mooring.vault.gather import Array
from mooring.vault.layout import FRAME_BLOCKS, FRAME_BYTES, PAGE_BLOCKS
from mooring.vault.map_reader import MapReader
from mooring.vault.root import Root

CONSOLIDATE_FRAMES = 64
"""A piece in more frames than this is written again as a whole; docs/design/vault.md has why."""

AGAIN_FACTOR = 2
"""A snapshot writes again at most this many times what changed, and less than one piece.

A piece is scattered after more than 64 changes, and has 128 blocks: with 2 no piece waits for long.
With less the budget is spent on the disk's first pieces, and the last are never written again.
"""


class Scatter:
    """Counts the frames that the pieces of a snapshot are in.

    A piece is an aligned range of `FRAME_BLOCKS` blocks: what a writer puts into one frame if it
    gets all of it. With every snapshot that changes a few of its blocks it lies in more frames,
    and reading it takes longer.
    """

    def __init__(self, root: Root, frames: Frames) -> None:
        self._map = MapReader(root, frames)
        self._number = -1
        self._counts: Array | None = None

    def frames(self, piece: int) -> int:
        """In how many frames the piece with that number is. Raises DamageError, StoreError."""
        number, inside = divmod(piece, PAGE_BLOCKS // FRAME_BLOCKS)
        if number != self._number:
            self._counts = self._count(number)
            self._number = number
        return 0 if self._counts is None else int(self._counts[inside])

    def _count(self, number: int) -> Array | None:
        page = self._map.page(number)
        if page is None:
            return None
        places = page.segment.astype(np.int64) << 16 | page.frame
        places[page.segment == 0] = -1
        places = np.sort(places.reshape(-1, FRAME_BLOCKS), axis=1)
        first = np.ones((len(places), 1), bool)
        distinct = np.concatenate([first, places[:, 1:] != places[:, :-1]], axis=1)
        counts: Array = (distinct & (places >= 0)).sum(axis=1)
        return counts


def consolidated(
    extents: Iterable[Extent], size: int, scatter: Scatter, limit: int
) -> Iterator[tuple[Extent, bool]]:
    """Yield the extents, and with True what to write again so that pieces become whole.

    `extents` and what is yielded ascend without overlap. A piece that holds changed data and lies
    in more than `limit` frames is filled up with what has not changed in it, unless
    more than `AGAIN_FACTOR` times what changed so far has been written again already. What
    lies before a zeroed range in a piece is left as it is, if no changed data comes before.
    """
    reached = changed = again = 0
    open_piece = decided = -1

    def gap(until: int) -> Iterator[tuple[Extent, bool]]:
        """What is missing of the open piece, up to there at most."""
        nonlocal reached, again
        start = max(reached, open_piece * FRAME_BYTES)
        end = min(until, (open_piece + 1) * FRAME_BYTES, size)
        if open_piece >= 0 and start < end:
            again += end - start
            reached = end
            yield Extent(start, end - start), True

    for extent in extents:
        yield from gap(extent.offset)
        if not extent.zero:
            changed += extent.length
            first, last = extent.offset // FRAME_BYTES, (extent.end - 1) // FRAME_BYTES
            # Those between are written as a whole anyway.
            for piece in (first, last):
                if piece == decided:
                    continue
                decided = piece
                low, high = piece * FRAME_BYTES, min((piece + 1) * FRAME_BYTES, size)
                whole = extent.offset <= low and extent.end >= high
                affordable = not whole and again <= AGAIN_FACTOR * changed
                wanted = affordable and scatter.frames(piece) > limit
                open_piece = piece if wanted else -1
                if piece == first:
                    yield from gap(extent.offset)
        yield extent, False
        reached = extent.end
    yield from gap(size)
