"""Makes and maintains a copy of a vault in another store.

    header    the copy is the same vault: same id, same key; what is sealed stays sealed
    frames    of each snapshot that the copy lacks, oldest first, those that it lacks
    root      put when all that it names is durable in the copy

Segments have the same names in the copy, and hold the frames that some snapshot names: all of
them, byte for byte, or some, in the form that vaults in buckets have. Each frame's digest is
checked between the two stores. The next run continues an interrupted one: what is in a segment of
the copy that none of its roots names yet is read back rather than trusted.

In the copy the object `copied` lists the snapshots that came this way. Only those are ever
deleted there, and only on request; what another server stored in the copy stays, and what the
source has lost without its being deleted.

Safe beside everything on both sides: on the source because a snapshot deleted meanwhile is
skipped; on the copy because collections stay away (exclusive.py), and everything else happens in
the order of any writer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from mooring.model.errors import (
    DamageError,
    MooringError,
    ObjectNotFoundError,
    SnapshotNotInVaultError,
    VaultAwayError,
    VaultError,
)
from mooring.vault.claims.claim import Claim
from mooring.vault.claims.exclusive import without_collectors
from mooring.vault.format import envelope
from mooring.vault.format.blocks import Array
from mooring.vault.format.header import has_more_than_key, read_header
from mooring.vault.format.layout import (
    COPIED_NAME,
    HEADER_NAME,
    KEY_NAME,
    root_name,
    segment_name,
)
from mooring.vault.format.root import Root, decode_root
from mooring.vault.format.segment_table import GONE
from mooring.vault.keeping.segment_copy import read_frames, write_segment
from mooring.vault.reading.frames import Frames
from mooring.vault.reading.reachable import FrameSet
from mooring.vault.reading.roots import Roots
from mooring.vault.reading.workshop import Workshop
from mooring.vault.store.interface import Store

OnCopied = Callable[[Root, int], None]
"""Called with the root of a snapshot that is in the copy now, and the bytes it added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """Where the copy of a vault is kept: a directory, or a bucket that `options` lead to.

    `delete`: snapshots deleted from the vault are deleted from the copy too.
    """

    place: str
    options: Mapping[str, str] = field(default_factory=dict)
    delete: bool = False


@dataclass(slots=True)
class Replication:
    """What a run did. `problems`: snapshots that could not be copied, and why."""

    copied: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    segments: int = 0
    copied_bytes: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def make_copy(source: Store, target: Store, vault_id: str, *, expected: bool = False) -> None:
    """Make the copy's key and header, unless they are there; the key follows the source's.

    Raises VaultAwayError if the copy is `expected` and not there; VaultError if the target holds
    something else, or is the source itself.
    """
    try:
        found, _ = read_header(target.get(HEADER_NAME), target.description)
        if found != vault_id:
            raise VaultError(
                f"{target.description} holds another vault, {found}, and was left as it is: choose "
                "an empty place for the copy"
            )
    except ObjectNotFoundError:
        if expected:
            raise VaultAwayError(
                f"the copy of the vault in {target.description} is away: mount it, or put it back; "
                "`mooringd replicate --new` starts a new one"
            ) from None
        if has_more_than_key(target):
            raise VaultError(
                f"{target.description} is not a copy of the vault, and not empty: choose an empty "
                "place for the copy"
            ) from None
    with suppress(ObjectNotFoundError):
        key = source.get(KEY_NAME)
        if not _has(target, KEY_NAME, key):
            target.put(KEY_NAME, key)
            target.barrier([KEY_NAME])
    target.put(HEADER_NAME, source.get(HEADER_NAME), replace=False)
    target.barrier([HEADER_NAME])
    target.hold_to(HEADER_NAME, target.get(HEADER_NAME))


def check_copy(copy: Store, vault_id: str) -> None:
    """Raises VaultError if the store does not hold a copy of the vault."""
    try:
        found, _ = read_header(copy.get(HEADER_NAME), copy.description)
    except ObjectNotFoundError:
        found = "nothing"
    if found != vault_id:
        raise VaultError(
            f"{copy.description} is not a copy of the vault {vault_id}: it holds {found}"
        )


class Replicator:
    """One run from the vault of the workshop to a copy of it in `target`."""

    def __init__(self, workshop: Workshop, target: Store) -> None:
        self._source = workshop.store
        self._target = target
        self._frames = workshop.frames
        self._frames_there = Frames(target, workshop.cipher)
        self._roots = workshop.roots
        self._roots_there = Roots(target, workshop.cipher, workshop.abreast)
        self._claims_there = workshop.claims.beside(target)
        self._walk = workshop.walk
        self._clock = workshop.clock
        self._workers = workshop.workers
        self._result = Replication()

    def run(self, on_copied: OnCopied) -> Replication:
        """Copy what the target lacks. Raises StoreError, DiskFullError, VaultError."""
        with without_collectors(self._claims_there) as claim:
            wanted, damaged = self._roots.readable()
            self._result.problems |= damaged
            present = set(self._roots_there.ids())
            missing = sorted(
                (root for root in wanted if root.id not in present),
                key=lambda root: (root.completed_ms, root.id),
            )
            if missing:
                self._note_copied(root.id for root in missing)
                self._copy_all(wanted, missing, claim, on_copied)
        return self._result

    def gone(self, known: Iterable[str]) -> list[str]:
        """The snapshots that were copied once and deleted from the source.

        Not those that are still `known`: they were lost there, and this may be all that is left.
        """
        present, copied = set(self._roots_there.ids()), read_copied(self._target)
        return sorted(present & copied - set(self._roots.ids()) - set(known))

    def _copy_all(
        self, wanted: list[Root], missing: list[Root], claim: Claim, on_copied: OnCopied
    ) -> None:
        chosen = {root.id for root in missing}
        good, live = FrameSet(), FrameSet()
        for root in self._walk.ahead(wanted):
            try:
                frames = self._walk.frames_of(root)
            except DamageError as error:
                self._failed(root, error)
                chosen.discard(root.id)
                continue
            live.add(frames)
            if root.id not in chosen:
                good.add(frames)
        needed = dict(self._walk.segments_in(live.sorted()))
        for root in missing:
            if root.id not in chosen:
                continue
            claim.renew()
            lacking = np.setdiff1d(self._walk.frames_of(root), good.sorted(), assume_unique=True)
            segments = [segment for segment, _ in self._walk.segments_in(lacking)]
            try:
                try:
                    copied = self._copy(root, _parts(segments, needed), claim)
                except DamageError:
                    # What only a snapshot needed that was deleted meanwhile may be gone.
                    needed = self._needed_still(wanted)
                    copied = self._copy(root, _parts(segments, needed), claim)
            except DamageError as error:
                self._failed(root, error)
                continue
            if copied is not None:
                # All that any snapshot needs of these segments is in the copy now.
                good.add(self._walk.frames_of(root))
                self._result.copied.append(root.id)
                on_copied(root, copied)

    def _needed_still(self, roots: Iterable[Root]) -> dict[bytes, Array]:
        """What those of the snapshots need of each segment that are in the source now."""
        present = set(self._roots.ids())
        live = FrameSet()
        for root in roots:
            if root.id in present:
                with suppress(DamageError):
                    live.add(self._walk.frames_of(root))
        return dict(self._walk.segments_in(live.sorted()))

    def _failed(self, root: Root, error: DamageError) -> None:
        """Note why a snapshot could not be copied, unless it was deleted meanwhile."""
        if self._roots.has(root.id):
            self._result.problems[root.id] = str(error)

    def _copy(self, root: Root, parts: list[tuple[bytes, Array]], claim: Claim) -> int | None:
        """Copy segments, then the root; return the bytes written, None if it was deleted."""
        before = self._result.copied_bytes
        for size in self._workers.map(lambda part: self._ensure(*part), parts):
            claim.renew()
            self._result.segments += size > 0
            self._result.copied_bytes += size
        self._target.barrier([segment_name(segment) for segment, _ in parts])
        try:
            data = self._roots.stored(root.id)
        except SnapshotNotInVaultError:
            return None
        decode_root(data, root.id, self._frames.cipher)
        claim.check()
        self._target.put(root_name(root.id), data, replace=False)
        self._target.barrier([root_name(root.id)])
        try:
            claim.check()
        except VaultError:
            with suppress(MooringError):
                self._target.delete(root_name(root.id))
            raise
        self._result.copied_bytes += len(data)
        return self._result.copied_bytes - before

    def _ensure(self, segment: bytes, needed: Array) -> int:
        """Have the frames of a segment in the target; return the bytes that were written."""
        sound = self._sound(segment)
        lacking = np.setdiff1d(needed, sound, assume_unique=True)
        if not len(lacking):
            return 0
        table = self._frames.fresh_table(segment)
        keep = np.union1d(needed, sound)
        taken = iter(read_frames(self._source, self._frames, segment, lacking))
        other = np.setdiff1d(keep, lacking)
        kept = iter(read_frames(self._target, self._frames_there, segment, other))
        here = set(lacking.tolist())
        contents = (next(taken if number in here else kept) for number in keep.tolist())
        size = write_segment(self._target, segment, table, keep, contents)
        self._frames_there.fresh_table(segment)
        return size

    def _sound(self, segment: bytes) -> Array:
        """The frames that the target has of a segment, each read back."""
        try:
            table = self._frames_there.fresh_table(segment)
        except DamageError:
            return np.zeros(0, np.int64)
        found = []
        for number in np.flatnonzero(table.places != GONE).tolist():
            with suppress(DamageError):
                self._frames_there.stored((segment, number))
                found.append(number)
        return np.array(found, np.int64)

    def _note_copied(self, ids: Iterable[str]) -> None:
        present = set(self._roots_there.ids())
        listed = sorted({*(read_copied(self._target) & present), *ids})
        body = json.dumps({"snapshots": listed, "noted_ms": self._clock.now_ms()}).encode()
        self._target.put(COPIED_NAME, envelope.wrap(envelope.COPIED, body))
        self._target.barrier([COPIED_NAME])


def _parts(segments: Iterable[bytes], needed: dict[bytes, Array]) -> list[tuple[bytes, Array]]:
    """What is needed of each segment; nothing of those that only deleted snapshots had."""
    return [(segment, needed[segment]) for segment in segments if segment in needed]


def read_copied(target: Store) -> set[str]:
    """The snapshots that came into the vault as copies. Raises DamageError."""
    try:
        data = target.get(COPIED_NAME)
    except ObjectNotFoundError:
        return set()
    what = f"the object {COPIED_NAME} of the vault {target.description}"
    told = envelope.read_fields(envelope.unwrap(envelope.COPIED, data, what), what, {})
    return set(envelope.texts(told.get("snapshots"), what))


def _has(store: Store, name: str, content: bytes) -> bool:
    try:
        return store.get(name) == content
    except ObjectNotFoundError:
        return False
