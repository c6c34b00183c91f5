"""Removes frames that nobody needs from segments that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from mooring.model.errors import DamageError, ObjectNotFoundError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.collector_claim import CollectorClaim
from mooring.vault.format.blocks import Array, runs
from mooring.vault.format.layout import segment_name
from mooring.vault.format.segment_table import GONE, SegmentTable
from mooring.vault.keeping.segment_copy import read_frames, size_with, write_segment
from mooring.vault.reading.workshop import Workshop


@dataclass(frozen=True, slots=True)
class _Looked:
    """A segment when it was looked at: its live frames, what it takes, and what of that is live."""

    count: int
    stored: int
    live: int


class Thinning:
    """One for each vault object; it remembers the segments that it has looked at.

    A segment of which as many frames are live as before needs no second look: if others are, some
    room comes back later.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._margins = workshop.claims.margins
        self._store = workshop.store
        self._frames = workshop.frames
        self._abreast = workshop.abreast
        self._looked: dict[bytes, _Looked] = {}

    def run(
        self, named: list[bytes], live: dict[bytes, Array], claim: CollectorClaim
    ) -> tuple[int, int]:
        """Thin segments down to their live frames; return how many, and the bytes that saved.

        Raises VaultError if the claim is gone, ClaimedLateError, StoreError.
        """
        thin = self._punch if self._store.can_punch else self._rewrite
        return thin(named, live, claim)

    def forget(self, live: dict[bytes, Array]) -> None:
        """Of those that were looked at before, remember only these."""
        self._looked = {one: found for one, found in self._looked.items() if one in live}

    @property
    def stored_bytes(self) -> int:
        """What the segments take that it remembers."""
        return sum(one.stored for one in self._looked.values())

    @property
    def live_bytes(self) -> int:
        """What is live of that."""
        return sum(one.live for one in self._looked.values())

    def _tables(
        self, named: list[bytes], live: dict[bytes, Array]
    ) -> Iterator[tuple[bytes, SegmentTable]]:
        """The tables, as they are now, of the segments that are not as before.

        Not of those that another collector has deleted, or whose table is damaged.
        """

        def read(segment: bytes) -> tuple[bytes, SegmentTable | None]:
            try:
                return segment, self._frames.fresh_table(segment)
            except DamageError:
                return segment, None

        new = (segment for segment in named if not self._is_as_before(segment, live[segment]))
        for segment, table in self._abreast.map(read, new):
            if table is not None:
                yield segment, table

    def _is_as_before(self, segment: bytes, needed: Array) -> bool:
        known = self._looked.get(segment)
        return known is not None and known.count == len(needed)

    def _note(
        self,
        segment: bytes,
        table: SegmentTable,
        needed: Array,
        stored: int,
        claim: CollectorClaim,
    ) -> None:
        if not claim.dry_run:
            live = int(table.stored_bytes[needed].sum())
            self._looked[segment] = _Looked(len(needed), stored, live)

    def _punch(
        self, named: list[bytes], live: dict[bytes, Array], claim: CollectorClaim
    ) -> tuple[int, int]:
        count = freed = 0
        for segment, table in self._tables(named, live):
            # One that another collector has deleted.
            with suppress(ObjectNotFoundError):
                holes = _holes(table, live[segment])
                size = sum(length for _, length in holes)
                name = segment_name(segment)
                if size >= self._margins.punch_at_least and not self._is_punched(
                    name, table.size, size
                ):
                    count += 1
                    freed += size
                    if claim.may_delete():
                        self._store.punch(name, holes)
                self._note(segment, table, live[segment], self._store.allocated(name), claim)
        return count, freed

    def _rewrite(
        self, named: list[bytes], live: dict[bytes, Array], claim: CollectorClaim
    ) -> tuple[int, int]:
        count = freed = 0
        names: list[str] = []
        for segment, table in self._tables(named, live):
            # One that another collector has deleted, or of which a needed frame is damaged: it
            # stays as it is, because what is left of that frame may be of use to who mends it.
            with suppress(ObjectNotFoundError, DamageError):
                saved = self._rewrite_one(segment, table, live[segment], claim)
                stored = table.size - saved
                self._note(segment, table, live[segment], stored, claim)
                count += saved > 0
                freed += saved
                if saved and not claim.dry_run:
                    names.append(segment_name(segment))
        self._store.barrier(names)
        return count, freed

    def _rewrite_one(
        self, segment: bytes, table: SegmentTable, needed: Array, claim: CollectorClaim
    ) -> int:
        """Write a segment without its dead frames if that is worth it; return what it saves."""
        saved = table.size - size_with(table, needed)
        if saved < max(self._margins.rewrite_at_least, table.size * self._margins.rewrite_part):
            return 0
        if claim.may_delete():
            contents = read_frames(self._store, self._frames, segment, needed)
            write_segment(self._store, segment, table, needed, contents, claim.may_delete)
            self._frames.fresh_table(segment)
        return saved

    def _is_punched(self, name: str, size: int, holes: int) -> bool:
        """Whether so much was taken out already; file systems may round up a little."""
        return self._store.allocated(name) <= size - holes + self._margins.punch_at_least // 2


def _holes(table: SegmentTable, live: Array) -> list[tuple[int, int]]:
    """The (offset, length) ranges of whole blocks in which no frame of `live` is."""
    dead = np.ones(len(table), bool)
    dead[live] = False
    # A segment that was written again, elsewhere, has only some of its frames.
    there = np.flatnonzero(table.places != GONE)
    there = there[np.argsort(table.places[there], kind="stable")]
    dead = dead[there]
    starts = table.places[there]
    ends = starts + table.stored_bytes[there]
    holes = []
    for first, last in runs(dead).tolist():
        low = -(-int(starts[first]) // BLOCK_SIZE) * BLOCK_SIZE
        high = int(ends[last - 1]) // BLOCK_SIZE * BLOCK_SIZE
        if high > low:
            holes.append((low, high - low))
    return holes
