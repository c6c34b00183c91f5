"""Finds content that is already in the vault, and makes it safe to share.

Before a writer refers to a frame that is not its own or its parent's, three things happen in this
order (collect.py says why they are enough):

1. It puts the claim under which the frame was written among the `shares` of its own claim.
2. It checks the existing claims. If the frame's is one of them, its writer may still remove it;
   if one is a collection's, that may not have seen the shares. Either way the frame is not shared.
3. It reads the frame.

The first two are done for many claims at once, because each put is a request to a bucket: the
first time for all that the frames at hand need, the second and last time also for those under which
most was written. So a snapshot puts its claim at most twice more, however many disks it shares
with. What such a claim keeps needlessly is collected when the upload is over.

So what is shared was found intact, and equal byte for byte, at a time when nobody could remove it
any more. The digest would do: 256 bits of BLAKE3 do not collide. But the frame must be read anyway,
to see that it was not punched out and is not damaged, or one bad frame would spoil snapshot after
snapshot; then comparing is nearly free.
"""

from __future__ import annotations

import threading
from collections.abc import Set

import numpy as np
import structlog

from mooring.model.errors import DamageError
from mooring.model.extents import Buffer
from mooring.observe import metrics
from mooring.observe.loop import Repeats
from mooring.vault.claims.claim import Claim, Purpose
from mooring.vault.claims.claims import Claims
from mooring.vault.format.frame import Kind
from mooring.vault.format.layout import SEGMENTS, segment_id, segment_name
from mooring.vault.format.segment_table import SegmentTable
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.store.abreast import Abreast
from mooring.vault.writing.digest_index import DigestIndex

MAX_SHARES = 1024
"""Claims whose segments one snapshot may refer to: 34 KiB in its own claim."""

MAX_ASKS = 2
"""How often one snapshot puts more among its shares."""

REFRESH_SECONDS = 60.0
"""How often the segments are listed at most, to find what other servers have written."""

REFRESH_SHARE = 0.02
"""Part of the time that listing may take: a very large vault is listed less often."""

READY_SECONDS = 10.0
"""How long a snapshot waits for the index when it first looks for something."""

ASK_AGAIN_SECONDS = 1.0
"""After that time, a claim that could not be shared is tried again."""

log = structlog.get_logger("mooring.vault")


class Sharing:
    """The index of one vault, kept up to date while snapshots are written."""

    def __init__(
        self, claims: Claims, frames: Frames, index: DigestIndex, abreast: Abreast
    ) -> None:
        self._store = claims.store
        self._clock = claims.clock
        self._claims = claims
        self._frames = frames
        self._index = index
        self._abreast = abreast
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._due = -1.0
        self._ready = threading.Event()
        self._closing = False
        self._repeats = Repeats()

    def shares(self, claim: Claim) -> Shares:
        """What a writer with that claim finds content with."""
        return Shares(self, self._claims, self._frames, self._index, self._abreast, claim)

    def sealed(self, segment: bytes, table: SegmentTable) -> None:
        """Enter a segment that a writer of this process has ended."""
        self._index.add(segment, table.claim, *table.shareable())

    def refresh(self) -> None:
        """List the segments, enter those that are new, forget those that are gone.

        Raises StoreError.
        """
        began = self._clock.monotonic()
        found = [one for name in self._store.names(SEGMENTS) if (one := segment_id(name))]
        self._index.retain(found)
        fresh = self._index.unknown(found)
        for segment, table in zip(fresh, self._abreast.map(self._table, fresh), strict=True):
            if table is not None:
                self.sealed(segment, table)
            if self._closing:
                break
        took = self._clock.monotonic() - began
        self._due = self._clock.monotonic() + max(REFRESH_SECONDS, took / REFRESH_SHARE)
        self._ready.set()

    def prepare(self) -> None:
        """Have the index refreshed in the background if it is time, and wait for it a little."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if not running and self._clock.monotonic() >= self._due and not self._closing:
                self._due = self._clock.monotonic() + REFRESH_SECONDS
                self._ready.clear()
                self._thread = threading.Thread(
                    target=self._refresh, name="vault-index", daemon=True
                )
                self._thread.start()
        self._ready.wait(READY_SECONDS)

    def close(self) -> None:
        """Stop, and write what the index holds in memory."""
        with self._lock:
            self._closing = True
        if self._thread is not None:
            self._thread.join()
        self._index.close()

    def _refresh(self) -> None:
        try:
            # Sharing is an economy: snapshots are stored without it.
            self.refresh()
        except Exception as error:
            metrics.thread_failed("vault-index")
            if times := self._repeats.count(error):
                log.exception("shared content cannot be looked up", times=times)
        finally:
            self._ready.set()

    def _table(self, segment: bytes) -> SegmentTable | None:
        try:
            return self._frames.table(segment)
        except DamageError:
            # Damaged, or deleted meanwhile: verification tells the first.
            return None


class Shares:
    """Finds content for one writer; only `ask` is for one thread at a time."""

    def __init__(
        self,
        sharing: Sharing,
        claims: Claims,
        frames: Frames,
        index: DigestIndex,
        abreast: Abreast,
        claim: Claim,
    ) -> None:
        self._sharing = sharing
        self._clock = claims.clock
        self._claims = claims
        self._frames = frames
        self._index = index
        self._abreast = abreast
        self._claim = claim
        self._lock = threading.Lock()
        self._prepared = False
        own = bytes.fromhex(claim.id)
        self._put: Set[bytes] = frozenset((own,))
        self._allowed: Set[bytes] = self._put
        self._asks = 0
        self._looked = claims.clock.monotonic()
        self._harmless: set[str] = set()
        self._names: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The segments of others that are referred to now: they must be durable before the root."""
        with self._lock:
            return sorted(self._names)

    def prepare(self) -> None:
        """To be called before the first `find`."""
        if not self._prepared:
            self._prepared = True
            self._sharing.prepare()

    def sealed(self, segment: bytes, table: SegmentTable) -> None:
        """Enter a segment of this writer."""
        self._sharing.sealed(segment, table)

    def find(self, content: Buffer, digest: bytes) -> FrameKey | None:
        """A frame with this content to which the writer may refer; None if there is none.

        Raises StoreError.
        """
        for segment, frame, claim in self._index.find(digest):
            key = (segment, frame)
            if claim in self._allowed and self._is_whole(key, content, digest):
                with self._lock:
                    self._names.add(segment_name(segment))
                return key
        return None

    def unasked(self, digest: bytes) -> Set[bytes]:
        """The claims to `ask` for, because more of this content might be found then."""
        return {
            claim
            for segment, frame, claim in self._index.find(digest)
            if self._may_ask(claim) and self._is_named((segment, frame), digest)
        }

    def ask(self, claims: Set[bytes]) -> None:
        """Have `find` look at what was written under these claims, too, where that is safe.

        Raises StoreError, VaultError (the writer's claim expired).
        """
        if claims - self._put and self._asks < MAX_ASKS:
            self._asks += 1
            wanted = list(claims)
            if self._asks == MAX_ASKS:
                # Nothing can be added later.
                wanted += self._index.largest_claims()
            new = [one for one in dict.fromkeys(wanted) if one not in self._put]
            put = self._put | set(new[: MAX_SHARES + 1 - len(self._put)])
            self._claim.share(one.hex() for one in put - self._put)
            self._put = put
        running = set(self._claims.ids(besides=self._claim.id))
        if not self._has_collection(running):
            # What was found to be safe once remains so as long as it is among the shares.
            safe = {one for one in self._put if one.hex() not in running}
            self._allowed = self._allowed | safe
        self._looked = self._clock.monotonic()

    def _may_ask(self, claim: bytes) -> bool:
        if claim in self._allowed:
            return False
        if claim in self._put:
            return self._clock.monotonic() - self._looked >= ASK_AGAIN_SECONDS
        return self._asks < MAX_ASKS and len(self._put) <= MAX_SHARES

    def _is_named(self, key: FrameKey, digest: bytes) -> bool:
        """Whether the frame has this content, as far as its table says."""
        try:
            return self._frames.entry(key).content_digest == digest
        except DamageError:
            return False

    def _is_whole(self, key: FrameKey, content: Buffer, digest: bytes) -> bool:
        try:
            # A table of this segment may be at hand although the segment is gone.
            if self._frames.entry(key).content_digest != digest:
                return False
            found = self._frames.load(key, Kind.DATA)
        except DamageError:
            return False
        return len(found) == len(content) and np.array_equal(
            np.frombuffer(found, np.uint64), np.frombuffer(content, np.uint64)
        )

    def _has_collection(self, claims: Set[str]) -> bool:
        """Whether one of these claims is a collection's.

        One that vanishes meanwhile has done all it does.
        """
        harmless = set()
        found = False
        for claim_id, record in self._claims.records(claims - self._harmless, self._abreast):
            if isinstance(record, DamageError) or record.purpose == Purpose.COLLECT:
                found = True
            else:
                harmless.add(claim_id)
        # What a claim is for never changes.
        self._harmless = harmless | (self._harmless & claims)
        return found
