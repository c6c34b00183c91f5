"""Writes one snapshot: compress, segment, durable, map, root."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from mooring.host.pace import Pace
from mooring.model.errors import MooringError, VaultError
from mooring.model.extents import BLOCK_SIZE, Buffer, Extent
from mooring.vault.claims.claim import Claim
from mooring.vault.format.blocks import Array, runs
from mooring.vault.format.frame import Kind, PackedFrame, Packer
from mooring.vault.format.layout import FRAME_BLOCKS, root_name
from mooring.vault.format.root import (
    Root,
    SnapshotInfo,
    Statistics,
    check_size,
    decode_root,
    encode_root,
)
from mooring.vault.format.segment_table import SHARED_ABOVE_BYTES
from mooring.vault.reading.compare import Comparison
from mooring.vault.reading.frames import FrameKey
from mooring.vault.reading.workshop import Workshop
from mooring.vault.store.limited import LimitedStore
from mooring.vault.writing.consolidation import Scatter, consolidated
from mooring.vault.writing.framing import Gather
from mooring.vault.writing.map_editor import MapEditor
from mooring.vault.writing.segment_writer import SegmentWriter
from mooring.vault.writing.sharing import Shares, Sharing

IN_FLIGHT = 24
"""Frames between the caller and the segment: 12 MiB of data, and what it is compressed to."""


@dataclass(frozen=True, slots=True)
class _Unasked:
    """Content that might be found if it was safe to share what was written under these claims."""

    data: Buffer
    digest: bytes
    claims: Set[bytes]


_Packed = PackedFrame | FrameKey | _Unasked
_Frame = tuple[Array, "Future[_Packed]"]
_Zeros = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterTools:
    """What all writers of one process have in common.

    `sealers` make segments of `segment_bytes` durable; `sharing` finds content that is there
    already, `pace` is kept by all together. What lies in more than `consolidate_frames` frames for
    each 512 KiB is proposed to be written again; 0 turns that off.
    """

    packer: Packer
    sealers: Executor
    segment_bytes: int
    sharing: Sharing | None
    pace: Pace
    consolidate_frames: int


class SnapshotWriter:
    """Takes the content of a snapshot, and makes it one by `commit`.

    What is neither written nor zeroed is as in the parent. Used by one thread at a time;
    `stats` may be read by others. After an error only `abort` makes sense. As a context
    manager it aborts unless it was committed.
    """

    def __init__(
        self,
        info: SnapshotInfo,
        parent: Root | None,
        claim: Claim,
        workshop: Workshop,
        tools: WriterTools,
    ) -> None:
        self.info = info
        self._parent = parent
        self._store = workshop.store
        self._clock = workshop.clock
        self._claim = claim
        self._packer = tools.packer.for_claim(bytes.fromhex(claim.id))
        self._cipher = workshop.cipher
        self._packers = workshop.workers
        self._shares = None if tools.sharing is None else tools.sharing.shares(claim)
        self._segments = SegmentWriter(
            LimitedStore(workshop.store, tools.pace),
            workshop.clock,
            claim,
            tools.sealers,
            tools.segment_bytes,
            None if self._shares is None else self._shares.sealed,
        )
        table = None if parent is None else parent.table
        frames = workshop.frames
        self._map = MapEditor(check_size(info.size), table, frames, self._packer, self._segments)
        self._comparison = None if parent is None else Comparison(parent, frames)
        self._consolidate_frames = tools.consolidate_frames
        self._scatter: Scatter | None = None
        if parent is not None and tools.consolidate_frames:
            self._scatter = Scatter(parent, frames)
        self._gather = Gather(self._submit)
        self._queue: deque[_Frame | _Zeros] = deque()
        self._taken = self._zero = self._unchanged = self._data = self._shared = 0
        self._again = 0
        self._reached = 0
        self._over = ""

    @property
    def stats(self) -> Statistics:
        """What has been done so far."""
        return Statistics(
            taken_bytes=self._taken,
            zero_bytes=self._zero,
            unchanged_bytes=self._unchanged,
            shared_bytes=self._shared,
            changed_blocks=self._map.changed_blocks - self._again,
            data_bytes=self._data,
            stored_bytes=self._segments.stored_bytes,
            segments=len(self._segments.names),
            map_pages=self._map.pages_written,
        )

    def write(self, offset: int, data: Buffer, *, compare: bool = False) -> None:
        """Take data, multiples of 4096 bytes; best in ascending order and in pieces of some MiB.

        With `compare`, blocks that are in the parent already are found out and not stored again,
        as long as the writer has not been further on before.
        Raises DiskFullError, StoreError, VaultError (the claim expired; a range outside of the
        disk), DamageError (with `compare`, or if the parent's map cannot be read).
        """
        first = self._begin(offset, len(data))
        content = data if isinstance(data, bytes) else bytes(data)
        # What this writer may have written before is not as in the parent any more.
        fresh = first >= self._reached
        self._reached = max(self._reached, first + len(content) // BLOCK_SIZE)
        if compare and fresh and self._comparison is not None:
            for start, length in self._comparison.differences(offset, content):
                low = start - offset
                self._take(start // BLOCK_SIZE, content[low : low + length])
                self._unchanged -= length
            self._unchanged += len(content)
        else:
            self._take(first, content)
        self._taken += len(content)

    def consolidated(self, extents: Iterable[Extent]) -> Iterator[tuple[Extent, bool]]:
        """Yield the extents, and with True ranges for `write_again`, all ascending.

        See consolidation.py; without a parent only the extents. Raises DamageError, StoreError.
        """
        if self._scatter is None:
            return ((extent, False) for extent in extents)
        return consolidated(extents, self.info.size, self._scatter, self._consolidate_frames)

    def write_again(self, offset: int, data: Buffer) -> None:
        """Take data that is as in the parent, to have it beside what changed. Raises as `write`.

        It does not count as changed.
        """
        before = self._zero
        self.write(offset, data)
        self._again += (len(data) - (self._zero - before)) // BLOCK_SIZE

    def zero(self, offset: int, length: int) -> None:
        """Let a range read as zeros. Raises as `write` does."""
        first = self._begin(offset, length)
        self._reached = max(self._reached, first + length // BLOCK_SIZE)
        self._gather.advance(first, first + length // BLOCK_SIZE)
        self._clear(first, length // BLOCK_SIZE)
        self._taken += length
        self._zero += length

    def commit(self) -> Root:
        """Make the snapshot durable and return its root.

        If another writer has committed the same snapshot first, its root is returned: both
        had the same content. Raises DiskFullError, StoreError, VaultError.
        """
        self._check_usable()
        self._gather.flush()
        self._drain(0)
        table = self._map.finish()
        self._segments.settle()
        others = [] if self._shares is None else self._shares.names
        self._store.barrier([*self._segments.names, *others])
        root = Root(
            info=self.info,
            parent=None if self._parent is None else self._parent.id,
            completed_ms=self._clock.now_ms(),
            statistics=self.stats,
            claim=self._claim.id,
            table=table,
        )
        self._claim.check()
        self._store.check(writes=True)
        name = root_name(self.info.id)
        data = encode_root(root, self._cipher)
        if not self._store.put(name, data, replace=False):
            existing = decode_root(self._store.get(name), self.info.id, self._cipher)
            self.abort()
            return existing
        self._confirm(name)
        self._map.remember()
        self._over = "committed"
        self._claim.release()
        return decode_root(data, self.info.id, self._cipher)

    def abort(self) -> None:
        """Give up and remove what was written, as far as the store lets us. Never raises."""
        if self._over:
            return
        self._over = "aborted"
        for item in self._queue:
            if isinstance(item[1], Future):
                item[1].cancel()
        self._queue.clear()
        self._segments.abort()
        self._claim.release()

    def __enter__(self) -> SnapshotWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _confirm(self, name: str) -> None:
        """The root is there: make that durable, if the collector has not given us up meanwhile.

        A collector that removes our claim looks at the roots after that: either it saw the
        root, or we see here that the claim is gone.
        """
        try:
            self._store.barrier([name])
            self._claim.check()
        except MooringError:
            with suppress(MooringError):
                self._store.delete(name)
                self._store.barrier([name])
            raise

    def _check_usable(self) -> None:
        if self._over:
            raise VaultError(f"the writer of snapshot {self.info.id} is already {self._over}")

    def _begin(self, offset: int, length: int) -> int:
        self._check_usable()
        if offset < 0 or length < 0 or offset % BLOCK_SIZE or length % BLOCK_SIZE:
            raise VaultError(
                f"{length} bytes at {offset} cannot be stored: both must be multiples of "
                f"{BLOCK_SIZE}"
            )
        if offset + length > self.info.size:
            raise VaultError(
                f"{length} bytes at {offset} are beyond the end of snapshot {self.info.id}, which "
                f"has {self.info.size} bytes"
            )
        self._claim.renew()
        return offset // BLOCK_SIZE

    def _take(self, first: int, content: bytes) -> None:
        if not content:
            return
        mask = self._gather.write(first, content)
        if mask is not None:
            for start, end in runs(~mask).tolist():
                self._clear(first + start, end - start)
                self._zero += (end - start) * BLOCK_SIZE

    def _clear(self, first: int, count: int) -> None:
        if self._queue:
            self._queue.append((first, count))
            self._drain(IN_FLIGHT)
        elif count:
            self._map.clear(first, count)

    def _submit(self, blocks: Array, data: Buffer) -> None:
        shares = self._shares if _may_meet_again(blocks) else None
        if shares is not None:
            shares.prepare()
        self._queue.append((blocks, self._packers.submit(self._pack, data, shares)))
        self._drain(IN_FLIGHT)

    def _pack(self, data: Buffer, shares: Shares | None) -> _Packed:
        """Find the content in the vault, or pack it."""
        digest = self._cipher.digest(data)
        if shares is not None:
            found = shares.find(data, digest)
            if found is not None:
                return found
            if claims := shares.unasked(digest):
                return _Unasked(data, digest, claims)
        return self._packer.pack(data, Kind.DATA, digest)

    def _pack_after(self, shares: Shares, asked: _Unasked) -> _Packed:
        """Find it, now that was asked for, or pack it."""
        found = shares.find(asked.data, asked.digest)
        return self._packer.pack(asked.data, Kind.DATA, asked.digest) if found is None else found

    def _ask(self, shares: Shares) -> None:
        """Ask for all frames under way that have to, and have them packed then."""
        under_way = [item[1] for item in self._queue if isinstance(item[1], Future)]
        waiting = {future: one for future in under_way if (one := _unasked(future)) is not None}
        shares.ask(frozenset().union(*(one.claims for one in waiting.values())))
        for number, (blocks, future) in enumerate(self._queue):
            if isinstance(future, Future) and future in waiting:
                again = self._packers.submit(self._pack_after, shares, waiting[future])
                self._queue[number] = (np.asarray(blocks), again)

    def _drain(self, limit: int) -> None:
        """Enter the oldest results into segment and map until at most `limit` are under way."""
        while len(self._queue) > limit or (self._queue and not _is_frame(self._queue[0])):
            first = self._queue[0][1]
            if self._shares is not None and isinstance(first, Future) and _unasked(first):
                self._ask(self._shares)
            item = self._queue.popleft()
            if isinstance(item[1], Future):
                blocks = np.asarray(item[0])
                frame = item[1].result()
                assert not isinstance(frame, _Unasked)
                if isinstance(frame, tuple):
                    self._shared += len(blocks) * BLOCK_SIZE
                    self._map.assign(blocks, *frame)
                else:
                    self._data += len(frame.stored)
                    self._map.assign(blocks, *self._segments.append(frame))
            else:
                self._map.clear(int(item[0]), item[1])


def _may_meet_again(blocks: Array) -> bool:
    """Whether another disk may have such a frame: not if it was gathered from several places."""
    one_place = blocks[0] // FRAME_BLOCKS == blocks[-1] // FRAME_BLOCKS
    return bool(one_place and len(blocks) * BLOCK_SIZE > SHARED_ABOVE_BYTES)


def _is_frame(item: Any) -> bool:
    return isinstance(item[1], Future)


def _unasked(future: Future[_Packed]) -> _Unasked | None:
    result = future.result()
    return result if isinstance(result, _Unasked) else None
