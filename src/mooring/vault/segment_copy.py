"""Writes a segment once more, with those of its frames that are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mooring.vault.layout import segment_name
from mooring.vault.segment_table import GONE, Array, SegmentTable, start_bytes
from mooring.vault.store.interface import Store


def write_segment(
    store: Store,
    segment: bytes,
    table: SegmentTable,
    needed: Array,
    stored: Callable[[int], bytes],
) -> int:
    """Put the segment of that id with the frames `needed`, ascending; return its size in bytes.

    `stored` gives the checked bytes of a frame; what it raises leaves the store as it was. With
    all frames the segment is, byte for byte, what its writer wrote. It appears whole, and replaces
    one that is there; its content is durable then. Raises DiskFullError, StoreError.
    """
    places = np.full(len(table), GONE, np.int64)
    upload = store.upload()
    try:
        start = start_bytes()
        upload.write(start)
        end = len(start)
        for number in needed.tolist():
            data = stored(number)
            upload.write(data)
            places[number] = end
            end += len(data)
        ending = table.ending(places)
        upload.write(ending)
        upload.commit(segment_name(segment))
    finally:
        upload.abort()
    return end + len(ending)


def size_with(table: SegmentTable, needed: Array) -> int:
    """The bytes that `write_segment` would write."""
    places = np.full(len(table), GONE, np.int64)
    sizes = table.stored_bytes[needed]
    places[needed] = len(start_bytes()) + np.cumsum(sizes) - sizes
    return len(start_bytes()) + int(sizes.sum()) + len(table.ending(places))
