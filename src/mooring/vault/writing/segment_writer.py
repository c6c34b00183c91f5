"""Writes the segments of one snapshot, sealing full ones in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress

from mooring.model.clock import Clock
from mooring.model.errors import MooringError
from mooring.vault.claims.claim import Claim
from mooring.vault.format.frame import PackedFrame
from mooring.vault.format.layout import FRAME_BYTES, SEGMENT_BYTES, SEGMENT_FRAMES, segment_name
from mooring.vault.format.references import OpenSegment
from mooring.vault.format.segment_table import SegmentTable, TableBuilder, read_ending, start_bytes
from mooring.vault.store.interface import Store, Upload

MAX_SEALING = 2
"""Segments that are made durable while the next one is being filled."""


class SegmentWriter:
    """Appends frames; used by one thread. `sealed` is told of each segment that is ended."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        claim: Claim,
        sealers: Executor,
        limit: int = SEGMENT_BYTES,
        sealed: Callable[[bytes, SegmentTable], None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._owner = claim
        self._claim = bytes.fromhex(claim.id)
        self._sealed = sealed
        self._sealers = sealers
        self._limit = limit
        self._upload: Upload | None = None
        self._table = TableBuilder(self._claim, 0, 0)
        self._current: OpenSegment | None = None
        self._sealing: deque[Future[None]] = deque()
        self.names: list[str] = []
        self.stored_bytes = 0

    def reserve(self, length: int = FRAME_BYTES) -> OpenSegment:
        """Return the segment to which a frame of up to `length` bytes will be appended next."""
        full = self._table.end + length > self._limit or len(self._table) >= SEGMENT_FRAMES
        if self._current is not None and full:
            self.seal()
        if self._current is None:
            self._upload = self._store.upload()
            self._upload.write(start_bytes())
            self._table = TableBuilder(self._claim, len(self.names), self._clock.now_ms())
            self._current = OpenSegment()
        return self._current

    def append(self, frame: PackedFrame) -> tuple[OpenSegment, int]:
        """Append a frame; return its segment and its number there. Raises DiskFullError."""
        segment = self.reserve(len(frame.stored))
        assert self._upload is not None
        self._upload.write(frame.stored)
        self.stored_bytes += len(frame.stored)
        return segment, self._table.add(frame)

    def seal(self) -> None:
        """End the current segment; it becomes durable in the background."""
        if self._current is None or self._upload is None:
            return
        upload, segment = self._upload, self._current
        segment.id, end = self._table.finish()
        upload.write(end)
        self.stored_bytes += len(end) + len(start_bytes())
        name = segment_name(segment.id)
        self.names.append(name)
        self._current = self._upload = None
        if self._sealed is not None:
            size = self._table.end + len(end)
            self._sealed(segment.id, read_ending(end, segment.id, size))
        self._sealing.append(self._sealers.submit(upload.commit, name))
        while len(self._sealing) > MAX_SEALING:
            self._sealing.popleft().result()

    def settle(self) -> None:
        """Seal what is open, and wait until all segments can be read."""
        self.seal()
        while self._sealing:
            self._sealing.popleft().result()

    def abort(self) -> None:
        """Remove all that was written, as far as the store lets us; the collector does the rest.

        Once the claim has expired, other snapshots may share what was written under it: then all
        of it is the collector's business.
        """
        if self._upload is not None:
            self._upload.abort()
            self._current = self._upload = None
        while self._sealing:
            with suppress(MooringError):
                self._sealing.popleft().result()
        for name in self.names:
            with suppress(MooringError):
                self._owner.check()
                self._store.delete(name)
