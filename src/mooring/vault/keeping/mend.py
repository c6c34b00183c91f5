"""Mends damaged objects of a vault from sound ones elsewhere; only right digests count.

    roots     taken from a copy of the vault
    frames    of data and of maps: the stored bytes from a copy; or, for data, content that a disk
              still has at the same place, packed again until the stored bytes have their digest
    segments  rewritten as a whole: what is sound stays, and what was found replaces the damage

All snapshots are verified before, after each round, because what a damaged map names is known only
when it is mended, and at the end. An object is replaced completely or not at all. Collections stay
away meanwhile (exclusive.py). What could not be mended is left as it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from blake3 import blake3

from mooring.model.errors import DamageError, ObjectNotFoundError, SnapshotNotInVaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.claim import Claim
from mooring.vault.claims.exclusive import without_collectors
from mooring.vault.format.frame import Kind, packed_again
from mooring.vault.format.layout import PAGE_BLOCKS, is_snapshot_id, root_name, segment_name
from mooring.vault.format.references import References
from mooring.vault.format.root import Root, decode_root
from mooring.vault.format.segment_table import GONE, SegmentTable
from mooring.vault.keeping.segment_copy import write_segment
from mooring.vault.keeping.verify import Damage, Verification, damaged_roots
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import Reading, frame_numbers, numbered_frames, walk_pages
from mooring.vault.reading.workshop import Workshop
from mooring.vault.store.interface import Store


class Readable(Protocol):
    """A disk, or an image of one; it may be in use and change meanwhile."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        ...


@dataclass(slots=True)
class Mending:
    """What was mended, and the damage that is left."""

    roots: list[str] = field(default_factory=list)
    frames: int = 0
    segments: int = 0
    left: list[Damage] = field(default_factory=list)


class Mender:
    """One run. `copies` are stores with copies of the vault."""

    def __init__(
        self, workshop: Workshop, copies: Sequence[Store], disks: Sequence[Readable]
    ) -> None:
        self._workshop = workshop
        self._store = workshop.store
        self._cipher = workshop.cipher
        self._copies = copies
        self._disks = disks
        self._result = Mending()

    def run(self) -> Mending:
        """Raises VaultBusyError, DiskFullError, StoreError."""
        with without_collectors(self._workshop.claims) as claim:
            seen: list[set[FrameKey]] = []
            while True:
                roots, broken = self._roots()
                frames = Frames(self._store, self._cipher)
                verification = Verification(frames, self._workshop.abreast)
                found = verification.run(roots, 1.0)
                claim.renew()
                bad = dict(verification.bad)
                # The same again: what was put in place did not last.
                if set(bad) in seen or not self._mend_frames(frames, roots, bad, claim):
                    break
                seen.append(set(bad))
        still = [one for one in found if self._workshop.roots.has(one.snapshot_id)]
        self._result.left = [*damaged_roots(broken), *still]
        return self._result

    def _roots(self) -> tuple[list[Root], dict[str, str]]:
        """The roots, those that a copy has sound put in place; the problems of the others."""
        roots: list[Root] = []
        broken: dict[str, str] = {}
        for snapshot_id, found in list(self._workshop.roots.all(anew=True)):
            if not isinstance(found, DamageError):
                roots.append(found)
                continue
            with suppress(SnapshotNotInVaultError):
                root = self._mend_root(snapshot_id)
                if root is None:
                    broken[snapshot_id] = str(found)
                else:
                    roots.append(root)
        return roots, broken

    def _mend_root(self, snapshot_id: str) -> Root | None:
        if not is_snapshot_id(snapshot_id):
            return None
        name, damaged = root_name(snapshot_id), self._workshop.roots.stored(snapshot_id)
        with suppress(DamageError):
            # A sound one has come meanwhile.
            return decode_root(damaged, snapshot_id, self._cipher)
        for copy in self._copies:
            try:
                data = copy.get(name)
                root = decode_root(data, snapshot_id, self._cipher)
            except (ObjectNotFoundError, DamageError):
                continue
            # One that was deleted or replaced meanwhile is not to come back.
            if self._workshop.roots.stored(snapshot_id) == damaged:
                self._store.put(name, data)
                self._store.barrier([name])
                self._result.roots.append(snapshot_id)
                return root
        return None

    def _mend_frames(
        self, frames: Frames, roots: list[Root], bad: Mapping[FrameKey, str], claim: Claim
    ) -> bool:
        """Mend what can be; says whether anything was."""
        by_segment: dict[bytes, set[int]] = defaultdict(set)
        for segment, number in bad:
            by_segment[segment].add(number)
        on_disks = _OnDisks(self._disks, roots, frames, set(bad)) if self._disks and bad else None
        before = self._result.frames
        for segment, numbers in by_segment.items():
            claim.renew()
            self._mend_segment(frames, segment, numbers, on_disks)
        return self._result.frames > before

    def _mend_segment(
        self, frames: Frames, segment: bytes, bad: set[int], on_disks: _OnDisks | None
    ) -> None:
        others = [Frames(copy, self._cipher) for copy in self._copies]
        own = _table(frames, segment)
        table = own or next(filter(None, (_table(one, segment) for one in others)), None)
        if table is None:
            return
        pieces = self._pieces(segment, table, written=own is None)
        found: dict[int, bytes] = {}
        for number in sorted(bad & set(range(len(table)))):
            entry = table.entry(number)
            data: bytes | None = pieces.get(number, b"")
            if blake3(data or b"").digest() != entry.stored_digest:
                data = _stored(others, (segment, number))
                if data is None and on_disks is not None:
                    data = on_disks.stored((segment, number), table, pieces.get(number, b""))
            if data is not None:
                found[number] = data
        if not found:
            return
        # What is damaged and was not found may be of use another time; what was given back is not.
        kept = {number: data for number, data in pieces.items() if number in bad or any(data)}
        kept |= found
        numbers = np.array(sorted(kept), np.int64)
        write_segment(self._store, segment, table, numbers, (kept[one] for one in numbers.tolist()))
        self._store.barrier([segment_name(segment)])
        self._result.segments += 1
        self._result.frames += len(found)

    def _pieces(self, segment: bytes, table: SegmentTable, *, written: bool) -> dict[int, bytes]:
        """What the damaged segment has of each frame, right or not, if it has the right length.

        `written`: its own end cannot be read; then the frames are looked for where all were once.
        """
        try:
            data = self._store.get(segment_name(segment))
        except ObjectNotFoundError:
            return {}
        places = table.written_places if written else table.places
        result = {}
        for number, place in enumerate(places.tolist()):
            length = table.entry(number).stored
            piece = b"" if place == GONE else data[place : place + length]
            if len(piece) == length:
                result[number] = piece
        return result


class _OnDisks:
    """Finds the content of damaged frames of data where disks have it now."""

    def __init__(
        self, disks: Sequence[Readable], roots: Iterable[Root], frames: Frames, bad: set[FrameKey]
    ) -> None:
        self._disks = disks
        self._cipher = frames.cipher
        # For each frame, and each block of it, where on the disk the block is.
        self._places: dict[FrameKey, dict[int, int]] = defaultdict(dict)
        seen: set[tuple[int, FrameKey]] = set()
        directory, page = _readable(frames.directory), _readable(frames.page)
        for root in roots:
            for number, page_key, references in walk_pages(root.table, directory, page):
                if (number, page_key) not in seen:
                    seen.add((number, page_key))
                    self._note(number, references, bad)

    def stored(self, key: FrameKey, table: SegmentTable, damaged: bytes) -> bytes | None:
        """The stored bytes of a frame, recreated; None if no disk has the content."""
        entry = table.entry(key[1])
        places = self._places.get(key, {})
        count = entry.plain // BLOCK_SIZE
        if entry.kind != Kind.DATA or any(block not in places for block in range(count)):
            return None
        for disk in self._disks:
            if max(places[block] for block in range(count)) + BLOCK_SIZE > disk.size:
                continue
            content = b"".join(disk.read(places[block], BLOCK_SIZE) for block in range(count))
            if self._cipher.digest(content) == entry.content_digest:
                frames = self._cipher.of_claim(table.claim)
                return packed_again(content, entry.codec, entry.stored_digest, frames, damaged)
        return None

    def _note(self, number: int, page: References, bad: set[FrameKey]) -> None:
        numbers = frame_numbers(page)
        assert page.block is not None
        for value, key in numbered_frames(page, numbers):
            if key in bad:
                for slot in np.flatnonzero(numbers == value).tolist():
                    offset = (number * PAGE_BLOCKS + slot) * BLOCK_SIZE
                    self._places[key].setdefault(int(page.block[slot]), offset)


def _readable(read: Callable[[FrameKey], References]) -> Reading:
    """Passes over what is damaged."""

    def reading(key: FrameKey) -> References | None:
        try:
            return read(key)
        except DamageError:
            return None

    return reading


def _table(frames: Frames, segment: bytes) -> SegmentTable | None:
    try:
        return frames.fresh_table(segment)
    except DamageError:
        return None


def _stored(copies: Iterable[Frames], key: FrameKey) -> bytes | None:
    for frames in copies:
        with suppress(DamageError):
            return frames.stored(key)
    return None
