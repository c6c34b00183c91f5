"""Reads one snapshot, checked, ahead of a sequential caller."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import NoReturn

import numpy as np

from mooring.model.counts import counted
from mooring.model.errors import DamageError, SnapshotNotInVaultError, VaultError
from mooring.model.extents import BLOCK_SIZE, Buffer, Extent
from mooring.vault.claims.claim import Claim
from mooring.vault.format.blocks import Array
from mooring.vault.format.root import Root
from mooring.vault.reading.diff import changed_extents
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.map_reader import MapReader, Part, blocks_of

READ_AHEAD_BLOCKS = 1024
"""How far beyond a sequential read frames are fetched: 4 MiB."""

MAX_PENDING = 256
"""Frames on their way at most."""

BATCH = 8
"""Frames that a worker fetches one after the other; handing over each by itself takes longer than
reading one of 16 blocks."""


class SnapshotReader:
    """An `Image` of a snapshot; may be used by several threads.

    A snapshot that is deleted meanwhile reads on as long as nothing of it has been collected,
    or to its end if it was opened with a claim; then reads raise SnapshotNotInVaultError.
    """

    def __init__(
        self,
        root: Root,
        frames: Frames,
        workers: Executor,
        exists: Callable[[], bool],
        claim: Claim | None = None,
    ) -> None:
        self.root = root
        self._frames = frames
        self._map = MapReader(root, frames)
        self._workers = workers
        self._exists = exists
        self._claim = claim
        self._lock = threading.Lock()
        self._pending: dict[FrameKey, Future[None]] = {}
        self._next = -1
        self._closed = False

    @property
    def size(self) -> int:
        return self.root.info.size

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges that hold data. Raises DamageError."""
        extents = self._map.extents()
        while True:
            try:
                extent = next(extents)
            except StopIteration:
                return
            except DamageError as error:
                self._fail(error, "its map")
            yield extent

    def read(self, offset: int, length: int) -> Buffer:
        """Return the bytes of a range. Raises DamageError naming the range, StoreError."""
        if self._closed:
            raise VaultError(f"the reader of snapshot {self.root.id} is closed")
        if offset < 0 or length < 0 or offset % BLOCK_SIZE or length % BLOCK_SIZE:
            raise VaultError(
                f"{length} bytes at {offset} cannot be read: both must be multiples of {BLOCK_SIZE}"
            )
        if offset + length > self.size:
            raise VaultError(
                f"{length} bytes at {offset} are beyond the end of snapshot {self.root.id}, which "
                f"has {self.size} bytes"
            )
        self.keep()
        first, end = offset // BLOCK_SIZE, (offset + length) // BLOCK_SIZE
        parts = self._parts(first, end)
        self._prefetch(first, end, parts)
        if len(parts) == 1 and parts[0].key is not None and isinstance(parts[0].at, slice):
            return self._blocks(parts[0], first).reshape(-1).data
        content = np.empty((end - first, BLOCK_SIZE), np.uint8)
        for part in parts:
            content[part.at] = 0 if part.key is None else self._blocks(part, first)
        return content.reshape(-1).data

    def changes(self, since: SnapshotReader) -> Iterator[Extent]:
        """Yield the ranges that changed since another snapshot of this vault; see diff.py.

        Both should be open with a claim. Raises DamageError.
        """
        return changed_extents(since.root, self.root, self._frames)

    def keep(self) -> None:
        """Renew the claim if that is due: for whoever needs the snapshot without reading it."""
        if self._claim is not None:
            self._claim.renew()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            pending = set(self._pending.values())
        for batch in pending:
            batch.cancel()
        if self._claim is not None:
            self._claim.release()

    def __enter__(self) -> SnapshotReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _parts(self, first: int, end: int) -> list[Part]:
        try:
            return list(self._map.parts(first, end))
        except DamageError as error:
            self._fail(error, _describe(first, end))

    def _blocks(self, part: Part, first: int) -> Array:
        assert part.key is not None
        try:
            return blocks_of(part, self._frame(part.key))
        except DamageError as error:
            self._fail(error, _where(part, first))

    def _frame(self, key: FrameKey) -> bytes:
        content = self._frames.cached(key)
        if content is None:
            with self._lock:
                batch = self._pending.get(key)
            # One that has not begun is quicker done here than waited for. What fails there fails
            # here again, and is told with the place that it concerns.
            if batch is not None and not batch.cancel():
                batch.exception()
            content = self._frames.data(key)
        return content

    def _prefetch(self, first: int, end: int, parts: list[Part]) -> None:
        """Have frames decoded by the workers: those needed now, and those needed next."""
        keys = [part.key for part in parts if part.key is not None]
        ahead = first == self._next
        self._next = end
        if ahead and end < self._map.blocks:
            stop = min(self._map.blocks, end + READ_AHEAD_BLOCKS)
            # Whoever reads there is told of damage.
            with suppress(DamageError):
                keys += self._map.keys(end, stop)
        if len(keys) > 1:
            for batch, future in self._submit(keys):
                future.add_done_callback(partial(self._forget, batch))

    def _submit(self, keys: list[FrameKey]) -> list[tuple[list[FrameKey], Future[None]]]:
        begun = []
        with self._lock:
            missing = [
                key
                for key in dict.fromkeys(keys)
                if key not in self._pending and self._frames.cached(key) is None
            ]
            for at in range(0, len(missing), BATCH):
                if self._closed or len(self._pending) >= MAX_PENDING:
                    break
                batch = missing[at : at + BATCH]
                future = self._workers.submit(self._load, batch)
                self._pending.update(dict.fromkeys(batch, future))
                begun.append((batch, future))
        return begun

    def _load(self, keys: list[FrameKey]) -> None:
        """Bring frames into the cache. The first that fails ends it: all may take as long."""
        for key in keys:
            self._frames.data(key)

    def _forget(self, keys: list[FrameKey], _: Future[None]) -> None:
        with self._lock:
            for key in keys:
                self._pending.pop(key, None)

    def _fail(self, error: DamageError, where: str) -> NoReturn:
        if not self._exists() and self._claim is None:
            raise SnapshotNotInVaultError(
                f"snapshot {self.root.id} was deleted while it was being read"
            ) from error
        raise DamageError(f"snapshot {self.root.id} is damaged in {where}: {error}") from error


def _where(part: Part, first: int) -> str:
    if isinstance(part.at, slice):
        return _describe(first + part.at.start, first + part.at.stop)
    low, high = first + int(part.at[0]), first + int(part.at[-1]) + 1
    return f"{counted(len(part.at), 'block')} of {BLOCK_SIZE} bytes within {_describe(low, high)}"


def _describe(first: int, end: int) -> str:
    return f"bytes {first * BLOCK_SIZE} to {end * BLOCK_SIZE - 1}"
