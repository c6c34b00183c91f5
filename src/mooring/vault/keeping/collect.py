"""Collects segments and frames that no snapshot names.

The order makes it safe beside writers and readers in any process, without a lock:

0. The collector makes its own claim; if somebody who copies objects into this vault has a claim,
   nothing is collected. Whoever copies makes a claim, and waits until no collector has one.
1. Claims not renewed in time (`expires_ms`) are removed. Their writers find that out before and
   after they write their root, and fail.
2. The segments are listed: only these can be deleted. What is written later is out of reach.
3. The tombstones are listed: roots of snapshots that were deleted before.
4. The claims are listed, then the roots listed and read, then the tombstones listed again. Roots
   held by claims, and those of tombstones that are new since 3, count like all others. A root
   that was read before is not read again if its mark in this listing is the same.
5. The maps of these roots are walked. If any part of them cannot be read, nothing is deleted.
6. A segment that no root names is deleted unless it was written under a claim listed in 4, or
   under one that such a claim `shares`. The frames that no root names are punched out of the
   other segments, except those written under shared claims; where the store cannot do that,
   segments of which half is dead are rewritten without those frames. Right before each deletion
   the collector's claim must still be there.
7. Tombstones older than `tombstone_kept_ms` are removed.

Why that is enough: at any time a segment that is needed is covered by a claim or by a root without
a tombstone. A writer makes its claim before its first segment and removes it after its root; it
makes the claim that holds its parent's root before it checks that this root has no tombstone. So
the cover can pass from claim to root and from root to claim. But if it passes, during a
collection, to a claim made after the claims were listed, it comes from a root that had no
tombstone after 3: that root is found in 4, or its new tombstone is. (Without tombstones, a parent
deleted just then would be in neither list; a test with three servers found that within seconds.)

Sharing (sharing.py) is the only way in which something that was not covered before comes to be
needed: a writer refers to a frame of a segment S, written under claim K, that perhaps no root names
any more. It adds K to the shares of its claim, then checks all claims, and refers to S only if it
finds neither K nor a collector's; then it reads the frame. (It may add many claims at once; each of
them is K then.) Who could remove the frame after that?

- A collector whose claim is put after the writer's check. It lists the claims after that, so after
  the writer's shares were put: it finds them and spares S, or the writer's claim is gone and its
  root is there, or the root's tombstone, or a claim that holds the root, as above.
- A collector whose claim was gone before the check. It had made its deletions by then: the writer,
  which reads the frame after the check, finds it gone or punched, and does not share it.
- A collector whose claim was removed by another, because its process was suspended or a clock
  jumped. It notices that before the next deletion. What remains is a process that is suspended for
  `exclusive_expires_ms` between that check and the deletion itself.
- The writer of K, which removes its segments when it fails. As long as its claim is there, nobody
  shares them; it checks for its claim before each deletion, and leaves them if it is gone.
- A collector on a disk too full for its claim. As long as that cannot be put, no writer can put
  shares there either, and putting it is retried before each deletion; once it is put, everything
  starts over.

So from the check on, S is covered: by the shares of the writer's claim, then by its root.

Each deletion is independent: a collection that is interrupted is continued by the next, and two
at the same time do no harm. A segment that is rewritten appears whole under its name, with the
same table: readers that look for a frame in its old place find that its digest does not match, and
look again where it is now (`Frames.stored`). Two that rewrite it at the same time both write
everything needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from mooring.model.counts import counted
from mooring.model.errors import (
    DamageError,
    ObjectNotFoundError,
    RootsMissingError,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.claim import ClaimRecord, Purpose
from mooring.vault.claims.collector_claim import ClaimedLateError, CollectorClaim
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import (
    DELETED,
    SEGMENTS,
    claim_name,
    segment_id,
    segment_name,
    split_tombstone,
)
from mooring.vault.format.root import Root, decode_root
from mooring.vault.keeping.thinning import Thinning
from mooring.vault.keeping.usage import Totals
from mooring.vault.reading.frames import FrameKey
from mooring.vault.reading.reachable import FrameSet
from mooring.vault.reading.workshop import Workshop

_NOT_WRITING = (Purpose.READ, Purpose.COLLECT)
_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a collection did, or in a dry run would do.

    `bytes_freed` counts deleted segments and what was taken out of others: punched, in whole
    blocks, or by writing them again.
    """

    segments_deleted: int
    segments_punched: int
    segments_rewritten: int
    bytes_freed: int
    segments_kept: int
    claims_expired: int
    files_swept: int
    postponed: bool = False
    """Somebody copies into this vault: nothing was done, but for expired claims."""

    totals: Totals | None = field(default=None, compare=False)
    """What the vault holds afterwards; not in a dry run."""


class Collector:
    """One for each vault object."""

    def __init__(self, workshop: Workshop) -> None:
        self._store = workshop.store
        self._clock = workshop.clock
        self._frames = workshop.frames
        self._cipher = workshop.cipher
        self._walk = workshop.walk
        self._abreast = workshop.abreast
        self._roots = workshop.roots
        self._known_claims = workshop.claims
        self._margins = workshop.claims.margins
        self._thinning = Thinning(workshop)
        self._spared = 0

    def run(self, *, dry_run: bool = False, expected: Iterable[str] = ()) -> Collection:
        """Raises DamageError if a root or map is damaged: then nothing is deleted.

        And RootsMissingError if an expected snapshot is not among those that were found: whatever
        hid its root may have hidden more than that.
        """
        expired = self._expire_claims(dry_run)
        claim = CollectorClaim(self._known_claims.to_collect, dry_run)
        try:
            try:
                return self._run(expired, claim, frozenset(expected))
            except ClaimedLateError:
                # The report leaves out the one deletion that made room.
                return self._run(expired, claim, frozenset(expected))
        finally:
            claim.release()

    def _run(self, expired: int, claim: CollectorClaim, expected: frozenset[str]) -> Collection:
        listed = [found for name in self._store.names(SEGMENTS) if (found := segment_id(name))]
        buried = set(self._store.names(DELETED))
        claims = self._claims()
        if any(one.purpose == Purpose.COPY for one in claims):
            return _postponed(expired, len(listed))
        roots, held = list(self._all_roots()), list(self._held_roots(claims))
        present = list(roots)
        if missing := expected - {root.id for root in present}:
            raise RootsMissingError(
                f"the vault {self._store.description} has no root of "
                f"{counted(len(missing), 'completed snapshot')}, so nothing was collected: put "
                "back "
                "what is missing, or delete the snapshots",
                missing,
            )
        roots += self._newly_deleted(buried)
        live = self._live(roots, held, claim)
        dead = [segment for segment in listed if segment not in live]
        writers = {bytes.fromhex(one.id) for one in claims if one.purpose not in _NOT_WRITING}
        shared = {bytes.fromhex(one) for record in claims for one in record.shares}
        deleted, freed = self._delete(dead, writers | shared, claim)
        named = [segment for segment in listed if segment in live]
        if shared:
            owners = self._abreast.map(self._owner, named)
            spared = shared | {None}
            named = [one for one, owner in zip(named, owners, strict=True) if owner not in spared]
        thinned, given_back = self._thinning.run(named, live, claim)
        if not claim.dry_run:
            self._forget(buried)
        swept_before = self._clock.now_ms() - self._margins.sweep_after_ms
        swept = 0 if claim.dry_run else self._store.sweep(swept_before)
        return Collection(
            segments_deleted=deleted,
            segments_punched=thinned if self._store.can_punch else 0,
            segments_rewritten=0 if self._store.can_punch else thinned,
            bytes_freed=freed + given_back,
            segments_kept=len(listed) - deleted,
            claims_expired=expired,
            files_swept=swept,
            totals=None if claim.dry_run else self._totals(present, live),
        )

    def _totals(self, roots: list[Root], live: dict[bytes, Array]) -> Totals:
        self._thinning.forget(live)
        logical = 0
        for root in roots:
            # One that was deleted meanwhile may have lost its map already.
            with suppress(DamageError):
                logical += self._walk.used_blocks(root) * BLOCK_SIZE
        return Totals(
            snapshots=len(roots),
            stored_bytes=self._spared + self._thinning.stored_bytes,
            live_bytes=self._thinning.live_bytes,
            logical_bytes=logical,
        )

    def _expire_claims(self, dry_run: bool) -> int:
        dead = filter(self._known_claims.is_dead, self._claims())
        expired = [claim_name(claim.id) for claim in dead]
        if not dry_run:
            for name in expired:
                self._store.delete(name)
            self._store.barrier(expired)
        return len(expired)

    def _claims(self) -> list[ClaimRecord]:
        claims = []
        ids = self._known_claims.ids()
        # One that vanishes meanwhile: its root, if it has one, is there already.
        for claim_id, found in self._known_claims.records(ids, self._abreast):
            if isinstance(found, DamageError):
                raise DamageError(
                    f"{found}; nothing was collected. Remove the object {claim_name(claim_id)} if "
                    "no upload and no restore is running"
                ) from found
            claims.append(found)
        return claims

    def _all_roots(self) -> Iterable[Root]:
        for snapshot_id, found in self._roots.all():
            if isinstance(found, DamageError):
                raise _stopped(snapshot_id, found) from found
            yield found

    def _newly_deleted(self, buried: set[str]) -> Iterable[Root]:
        for name in self._store.names(DELETED):
            parts = split_tombstone(name)
            if name not in buried and parts is not None:
                with suppress(ObjectNotFoundError):
                    yield self._readable(self._store.get(name), parts[0])

    def _forget(self, tombstones: Iterable[str]) -> None:
        before = self._clock.now_ms() - self._margins.tombstone_kept_ms
        old = [name for name in tombstones if (split_tombstone(name) or ("", before))[1] < before]
        for _ in self._abreast.map(self._store.delete, old):
            pass
        self._store.barrier(old)

    def _held_roots(self, claims: list[ClaimRecord]) -> Iterable[Root]:
        for claim in claims:
            if claim.root:
                yield self._readable(claim.root, claim.held)

    def _is_held(self, snapshot_id: str) -> bool:
        return any(claim.root and claim.held == snapshot_id for claim in self._claims())

    def _readable(self, data: bytes, snapshot_id: str) -> Root:
        try:
            return decode_root(data, snapshot_id, self._cipher)
        except DamageError as error:
            raise _stopped(snapshot_id, error) from error

    def _live(
        self, roots: Iterable[Root], held: Iterable[Root], claim: CollectorClaim
    ) -> dict[bytes, Array]:
        """For each segment that is named, the numbers of its frames that are."""
        live = FrameSet()
        seen: set[FrameKey] = set()
        for some in (roots, held):
            for root in self._walk.ahead(some, seen):
                claim.keep()
                try:
                    for frames in self._walk.new_frames_of(root, seen):
                        live.add(frames)
                        claim.keep()
                except DamageError as error:
                    # What was deleted meanwhile, and is held no longer, may have lost its map to
                    # another collector.
                    if self._roots.has(root.id) or self._is_held(root.id):
                        raise _stopped(root.id, error) from error
        self._walk.forget(seen)
        return dict(self._walk.segments_in(live.sorted()))

    def _delete(
        self, dead: list[bytes], claimed: set[bytes], claim: CollectorClaim
    ) -> tuple[int, int]:
        def delete(segment: bytes) -> tuple[str, int, bool]:
            """Its name and size, and whether it is spared; no name if it is gone already."""
            name = segment_name(segment)
            try:
                size = self._store.tail(name, 0)[1]
            except ObjectNotFoundError:
                return "", 0, False
            spared = bool(claimed) and self._owner(segment) in claimed | {None}
            if not spared and claim.may_delete():
                self._store.delete(name)
            return name, size, spared

        names: list[str] = []
        count = freed = 0
        self._spared = 0
        # Without a claim, none may be under way when there is room for one at last.
        done = self._abreast.map(delete, dead) if claim.is_made else map(delete, dead)
        for name, size, spared in done:
            if spared:
                self._spared += size
            elif name:
                count += 1
                freed += size
                names.append(name)
            if len(names) == _BATCH:
                self._store.barrier(names)
                names.clear()
        self._store.barrier(names)
        return count, freed

    def _owner(self, segment: bytes) -> bytes | None:
        """The claim under which a segment was written; None if that cannot be told."""
        try:
            return self._frames.table(segment).claim
        except VaultError:
            return None


def _postponed(expired: int, kept: int) -> Collection:
    return Collection(
        segments_deleted=0,
        segments_punched=0,
        segments_rewritten=0,
        bytes_freed=0,
        segments_kept=kept,
        claims_expired=expired,
        files_swept=0,
        postponed=True,
    )


def _stopped(snapshot_id: str, error: DamageError) -> DamageError:
    return DamageError(
        f"nothing was collected, because it is unknown what snapshot {snapshot_id} names: {error}. "
        "Restore the object from a copy of the vault, or delete the snapshot"
    )
