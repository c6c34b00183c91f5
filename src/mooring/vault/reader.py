"""Reads one snapshot, checked, ahead of a sequential caller."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import NoReturn

from mooring.model.errors import DamageError, SnapshotNotInVaultError, VaultError
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.claim import Claim
from mooring.vault.diff import changed_extents
from mooring.vault.frames import FrameKey, Frames
from mooring.vault.map_reader import MapReader, Run
from mooring.vault.root import Root

READ_AHEAD_BLOCKS = 1024
"""How far beyond a sequential read frames are fetched: 4 MiB."""

MAX_PENDING = 48
"""Frames fetched ahead at most; those asked for first are let go first."""

_ZEROS = memoryview(bytes(1024 * 1024))


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
        self._pending: OrderedDict[FrameKey, Future[bytes]] = OrderedDict()
        self._next = -1
        self._closed = False

    @property
    def size(self) -> int:
        return self.root.info.size

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges that hold data. Raises DamageError."""
        ranges = self._map.data_ranges()
        while True:
            try:
                start, end = next(ranges)
            except StopIteration:
                return
            except DamageError as error:
                self._fail(error, "its map")
            yield Extent(start * BLOCK_SIZE, (end - start) * BLOCK_SIZE)

    def read(self, offset: int, length: int) -> bytes:
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
        runs = self._runs(first, end)
        self._prefetch(first, end, runs)
        parts: list[bytes | memoryview] = []
        for run in runs:
            parts += self._content(run)
        return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else b"".join(parts)

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
            for future in self._pending.values():
                future.cancel()
            self._pending.clear()
        if self._claim is not None:
            self._claim.release()

    def __enter__(self) -> SnapshotReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _runs(self, first: int, end: int) -> list[Run]:
        try:
            return list(self._map.runs(first, end))
        except DamageError as error:
            self._fail(error, _describe(first, end))

    def _content(self, run: Run) -> Sequence[bytes | memoryview]:
        length = run.count * BLOCK_SIZE
        if run.key is None:
            whole, rest = divmod(length, len(_ZEROS))
            return [_ZEROS] * whole + [_ZEROS[:rest]]
        try:
            content = self._frame(run.key)
            start = run.block * BLOCK_SIZE
            if start == 0 and length == len(content):
                return [content]
            if start + length > len(content):
                raise DamageError("its map refers to blocks that a frame does not have")
        except DamageError as error:
            self._fail(error, _describe(run.first, run.end))
        return [memoryview(content)[start : start + length]]

    def _frame(self, key: FrameKey) -> bytes:
        with self._lock:
            future = self._pending.pop(key, None)
        # One that has not begun is quicker done here than waited for.
        if future is None or future.cancel():
            return self._frames.data(key)
        return future.result()

    def _prefetch(self, first: int, end: int, runs: list[Run]) -> None:
        """Have frames decoded by the workers: those needed now, and those needed next."""
        keys = _keys(runs)
        ahead = first == self._next
        self._next = end
        if ahead and end < self._map.blocks:
            stop = min(self._map.blocks, end + READ_AHEAD_BLOCKS)
            # Whoever reads there is told of damage.
            with suppress(DamageError):
                keys |= _keys(self._map.runs(end, stop))
        if len(keys) < 2:
            return
        with self._lock:
            for key in keys:
                if self._closed or len(self._pending) >= MAX_PENDING:
                    return
                if key not in self._pending and self._frames.cached(key) is None:
                    self._pending[key] = self._workers.submit(self._frames.data, key)

    def _fail(self, error: DamageError, where: str) -> NoReturn:
        if not self._exists() and self._claim is None:
            raise SnapshotNotInVaultError(
                f"snapshot {self.root.id} was deleted while it was being read"
            ) from error
        raise DamageError(f"snapshot {self.root.id} is damaged in {where}: {error}") from error


def _keys(runs: list[Run] | Iterator[Run]) -> dict[FrameKey, None]:
    """The frames of the runs in their order, each once."""
    return {run.key: None for run in runs if run.key is not None}


def _describe(first: int, end: int) -> str:
    return f"bytes {first * BLOCK_SIZE} to {end * BLOCK_SIZE - 1}"
