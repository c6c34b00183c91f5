"""What the slots of stored references name, from a root's table down to pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import DIRECTORY_PAGES
from mooring.vault.format.references import References, SegmentRef
from mooring.vault.reading.frames import FrameKey

Reading = Callable[[FrameKey], References | None]
"""Gives a directory or a page, None if it is to be passed over."""


def walk_pages(
    table: References, directory: Reading, page: Reading
) -> Iterator[tuple[int, FrameKey, References]]:
    """Yield the pages that are not all zeros: their numbers, their frames, what they say."""
    for upper, key in used(table):
        found = directory(key)
        if found is not None:
            for lower, page_key in used(found):
                references = page(page_key)
                if references is not None:
                    yield upper * DIRECTORY_PAGES + lower, page_key, references


def used(references: References) -> Iterator[tuple[int, FrameKey]]:
    """Yield the slots that are not empty, and the frames that they name."""
    for slot in references.segment.nonzero()[0].tolist():
        key = frame_key(references, slot)
        assert key is not None
        yield slot, key


def frame_key(references: References, slot: int) -> FrameKey | None:
    """What a slot names; None if it is empty."""
    found = references.at(slot)
    return None if found is None else (stored_id(found[0]), found[1])


def stored_id(segment: SegmentRef) -> bytes:
    """The id of a segment named by stored references."""
    assert isinstance(segment, bytes), "stored references name sealed segments"
    return segment


def frame_numbers(page: References, low: int = 0, high: int | None = None) -> Array:
    """A number for each slot that is the same where the frame is, and below 2**16 for none."""
    part = slice(low, high)
    numbers: Array = page.segment[part].astype(np.uint32) << 16 | page.frame[part]
    return numbers


def numbered_frame(page: References, number: int) -> FrameKey | None:
    """The frame that such a number stands for; None if it stands for none."""
    segment = number >> 16
    return (stored_id(page.segments[segment - 1]), number & 0xFFFF) if segment else None


def numbered_frames(page: References, numbers: Array) -> Iterator[tuple[int, FrameKey]]:
    """Yield each number once, with its frame; those that stand for none are left out."""
    for number in np.unique(numbers[numbers >= 1 << 16]).tolist():
        yield number, (stored_id(page.segments[(number >> 16) - 1]), number & 0xFFFF)
