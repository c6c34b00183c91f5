"""Finds out from a snapshot's map where its blocks are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mooring.model.errors import DamageError
from mooring.model.extents import BLOCK_SIZE, Extent, joined
from mooring.vault.format.blocks import Array, runs
from mooring.vault.format.layout import DIRECTORY_PAGES, PAGE_BLOCKS
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import frame_key, frame_numbers, numbered_frame, walk_pages


class Part(NamedTuple):
    """The blocks of a range that one frame holds: those at `at`, which are `blocks` of the frame.

    `at` counts from the range's first block. Slices where both are without gaps. Without a key
    they are zeros. `end` is one more than the highest of `blocks`.
    """

    key: FrameKey | None
    at: Array | slice
    blocks: Array | slice
    end: int


class MapReader:
    """The map of one snapshot. Raises DamageError where pages cannot be read."""

    def __init__(self, root: Root, frames: Frames) -> None:
        self._table = root.table
        self._frames = frames
        self.blocks = root.info.size // BLOCK_SIZE

    def page(self, number: int) -> References | None:
        """The page with that number; None if all of it is zeros."""
        if number // DIRECTORY_PAGES >= len(self._table):
            return None
        key = frame_key(self._table, number // DIRECTORY_PAGES)
        if key is None:
            return None
        key = frame_key(self._frames.directory(key), number % DIRECTORY_PAGES)
        return None if key is None else self._frames.page(key)

    def parts(self, first: int, end: int) -> Iterator[Part]:
        """Yield what the blocks from `first` to before `end` consist of, by frames.

        One for each frame of a page, however scattered its blocks are.
        """
        for at, page, low, high in self._pages_of(first, end):
            if page is None:
                yield Part(None, slice(at - first, at - first + high - low), slice(0), 0)
            else:
                yield from _parts(page, low, high, at - first)

    def keys(self, first: int, end: int) -> Iterator[FrameKey]:
        """Yield the frames that the blocks from `first` to before `end` are in.

        Those of each page once, by the first block.
        """
        for _, page, low, high in self._pages_of(first, end):
            if page is None:
                continue
            frames, firsts = np.unique(frame_numbers(page, low, high), return_index=True)
            for number in frames[firsts.argsort()].tolist():
                key = numbered_frame(page, number)
                if key is not None:
                    yield key

    def _pages_of(self, first: int, end: int) -> Iterator[tuple[int, References | None, int, int]]:
        """Yield each page of a range of blocks: where that begins, the page, the slots in it."""
        while first < end:
            number, low = divmod(first, PAGE_BLOCKS)
            high = min(PAGE_BLOCKS, low + end - first)
            yield first, self.page(number), low, high
            first += high - low

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges that are not zero, ascending, not touching."""
        return joined(
            Extent(start, end - start)
            for number, page in self.pages()
            for start, end in (
                (runs(page.segment != 0) + number * PAGE_BLOCKS) * BLOCK_SIZE
            ).tolist()
        )

    def pages(self) -> Iterator[tuple[int, References]]:
        """Yield the pages that are not all zeros, with their numbers."""
        frames = self._frames
        for number, _, page in walk_pages(self._table, frames.directory, frames.page):
            yield number, page


def blocks_of(part: Part, content: bytes) -> Array:
    """The part's blocks, one in each row, out of its frame's content. Raises DamageError."""
    if part.end * BLOCK_SIZE > len(content):
        raise DamageError("its map refers to blocks that a frame does not have")
    held = np.frombuffer(content, np.uint8, part.end * BLOCK_SIZE)
    blocks: Array = held.reshape(-1, BLOCK_SIZE)[part.blocks]
    return blocks


def _parts(page: References, low: int, high: int, at: int) -> Iterator[Part]:
    assert page.block is not None
    frames = frame_numbers(page, low, high)
    order = np.argsort(frames, kind="stable")
    frames, blocks = frames[order], page.block[low:high][order]
    starts = np.flatnonzero(np.diff(frames, prepend=~frames[:1]))
    ends = np.append(starts[1:], len(frames))
    # Empty slots count no blocks up; it does not matter, for there is nothing to be copied.
    gaps = (np.diff(order) != 1) | (np.diff(blocks.astype(np.int16)) != 1)
    gaps_before = np.concatenate([[0], np.cumsum(gaps)])
    rows = np.stack(
        [
            order[starts],
            starts,
            ends,
            frames[starts],
            np.maximum.reduceat(blocks, starts),
            gaps_before[ends - 1] - gaps_before[starts],
        ],
        axis=1,
    )
    order = order + at
    for _, start, end, number, highest, inner_gaps in rows[rows[:, 0].argsort()].tolist():
        key = numbered_frame(page, number)
        if inner_gaps:
            yield Part(key, order[start:end], blocks[start:end], highest + 1)
        else:
            first = int(order[start])
            yield Part(
                key,
                slice(first, first + end - start),
                slice(highest + 1 - end + start, highest + 1),
                highest + 1,
            )
