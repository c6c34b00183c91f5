"""Finds the ranges in which two snapshots differ, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from mooring.model.extents import BLOCK_SIZE, Extent, joined
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import DIRECTORY_PAGES, PAGE_BLOCKS
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.slots import frame_key, stored_id

_EMPTY_DIRECTORY = References(DIRECTORY_PAGES, blocks=False)
_EMPTY_PAGE = References(PAGE_BLOCKS, blocks=True)


def changed_extents(
    old: Root | None, new: Root, frames: Frames, first: int = 0
) -> Iterator[Extent]:
    """Yield the ranges of `new` that do not refer to the same blocks as `old`, ascending.

    Only what is at or behind block `first`; what lies before is not looked at.

    Without `old`, all that is not zero. Time follows the number of pages that differ. A block
    that was written again with the content that it had counts as changed. Beyond the end of a
    shorter `old` there were zeros; beyond the end of `new` nothing is compared.
    """
    last = new.info.size // BLOCK_SIZE
    ranges = (
        (max(begin, first), min(end, last), zero)
        for begin, end, zero in _ranges(old, new, frames, first // PAGE_BLOCKS)
    )
    return joined(
        Extent(begin * BLOCK_SIZE, (end - begin) * BLOCK_SIZE, zero)
        for begin, end, zero in ranges
        if begin < end
    )


def _ranges(
    old: Root | None, new: Root, frames: Frames, first_page: int
) -> Iterator[tuple[int, int, bool]]:
    length = len(new.table)
    before = References(length, blocks=False)
    if old is not None:
        before = old.table.copy(max(length, len(old.table)))
    for upper in np.flatnonzero(_differences(before, new.table)[:length]).tolist():
        if (upper + 1) * DIRECTORY_PAGES <= first_page:
            continue
        directories = [
            frames.directory(key) if (key := frame_key(table, upper)) else _EMPTY_DIRECTORY
            for table in (before, new.table)
        ]
        for lower in np.flatnonzero(_differences(*directories)).tolist():
            if upper * DIRECTORY_PAGES + lower < first_page:
                continue
            pages = [
                frames.page(key) if (key := frame_key(directory, lower)) else _EMPTY_PAGE
                for directory in directories
            ]
            yield from _page_ranges(pages[0], pages[1], upper * DIRECTORY_PAGES + lower)


def _page_ranges(old: References, new: References, number: int) -> Iterator[tuple[int, int, bool]]:
    # 0: alike, 1: changed to data, 2: changed to zeros.
    state = _differences(old, new) * np.where(new.segment == 0, 2, 1)
    cuts = np.flatnonzero(np.diff(state, prepend=0, append=0)).tolist()
    base = number * PAGE_BLOCKS
    for start, end in itertools.pairwise(cuts):
        if state[start]:
            yield base + start, base + end, bool(state[start] == 2)


def _differences(old: References, new: References) -> Array:
    """For each slot, whether the two refer to something else."""
    shared: dict[bytes, int] = {}
    length = min(len(old), len(new))
    left, right = (
        np.array(
            [0, *(shared.setdefault(stored_id(s), len(shared) + 1) for s in references.segments)],
            np.int32,
        )[references.segment[:length]]
        for references in (old, new)
    )
    result: Array = (left != right) | (old.frame[:length] != new.frame[:length])
    if old.block is not None and new.block is not None:
        result |= old.block[:length] != new.block[:length]
    return result
