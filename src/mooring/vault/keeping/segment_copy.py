"""Rewrites a segment with only those of its frames that are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from blake3 import blake3

from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import segment_name
from mooring.vault.format.segment_table import GONE, SegmentTable, start_bytes
from mooring.vault.reading.frames import Frames
from mooring.vault.store.interface import Store

READ_BYTES = 4 * 1024 * 1024
"""Frames that lie one after the other are read together up to that size."""


def write_segment(
    store: Store,
    segment: bytes,
    table: SegmentTable,
    needed: Array,
    contents: Iterable[bytes],
    ready: Callable[[], object] = lambda: None,
) -> int:
    """Put the segment of that id with the frames `needed`, ascending; return its size in bytes.

    `contents` gives their checked bytes; what it raises leaves the store as it was. With
    all frames the segment is, byte for byte, what its writer wrote. It appears whole, and replaces
    one that is there; its content is durable then. `ready` is called right before, and prevents it
    by an error. Raises DiskFullError, StoreError.
    """
    places = np.full(len(table), GONE, np.int64)
    upload = store.upload()
    try:
        start = start_bytes()
        upload.write(start)
        end = len(start)
        for number, data in zip(needed.tolist(), contents, strict=True):
            upload.write(data)
            places[number] = end
            end += len(data)
        ending = table.ending(places)
        upload.write(ending)
        ready()
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


def read_frames(store: Store, frames: Frames, segment: bytes, needed: Array) -> Iterator[bytes]:
    """Yield the checked stored bytes of the frames `needed`, ascending, in few requests.

    Raises DamageError where one is damaged or gone.
    """
    table = frames.fresh_table(segment)
    batch: list[int] = []
    for number in needed.tolist():
        if batch and not _follows(table, batch, number):
            yield from _read_batch(store, frames, segment, table, batch)
            batch = []
        batch.append(number)
    yield from _read_batch(store, frames, segment, table, batch)


def _follows(table: SegmentTable, batch: list[int], number: int) -> bool:
    first, last, this = (table.entry(one) for one in (batch[0], batch[-1], number))
    if GONE in (last.offset, this.offset):
        return False
    end = this.offset + this.stored
    return last.offset + last.stored == this.offset and end - first.offset <= READ_BYTES


def _read_batch(
    store: Store, frames: Frames, segment: bytes, table: SegmentTable, batch: list[int]
) -> Iterator[bytes]:
    if not batch:
        return
    entries = [table.entry(number) for number in batch]
    start = entries[0].offset
    length = sum(entry.stored for entry in entries)
    try:
        data = b"" if start == GONE else store.get(segment_name(segment), start, length)
    except ObjectNotFoundError as error:
        raise DamageError(f"segment {segment.hex()} is missing") from error
    for number, entry in zip(batch, entries, strict=True):
        low = entry.offset - start
        piece = data[low : low + entry.stored]
        if blake3(piece).digest() != entry.stored_digest:
            # Damaged, or elsewhere by now; this finds out which, and says so.
            piece = frames.stored((segment, number))
        yield piece
