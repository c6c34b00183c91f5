"""Finds frames again by the digest of their content.

It is a cache and no part of the vault: made from the tables of the segments, it may be deleted at
any time and is never believed, for whoever finds a frame here reads it before using it. On disk it
takes 16 bytes for each frame and 40 for each segment; in memory the newest thousands, and what the
kernel caches of the files.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import ID_BYTES
from mooring.vault.writing.index_run import SUFFIX, Run, merge, open_run, prefixes, write_run

Place = tuple[bytes, int, bytes]
"""A segment's id, the number of a frame in it, and the claim under which it was written."""

GROWTH = 4
"""A run that is not this many times as large as the next newer one is merged with it."""

CANDIDATES = 3
"""Frames of one digest that are looked at: more than one are there only by chance."""

_NONE: Array = np.zeros(0, "<u8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What is held in memory."""

    recent: int = 1 << 15
    """Frames, or segments, that wait until they become a run."""

    step: int = 1 << 18
    """Entries that a merge holds at once."""


SIZES = Sizes()


class DigestIndex:
    """Safe to use from any thread, by one process at a time: a second keeps its own in memory.

    What cannot be written to `folder`, for example because the disk is full, is kept in memory or
    forgotten: nothing depends on it.
    """

    def __init__(self, folder: Path | None, limit_bytes: int, sizes: Sizes = SIZES) -> None:
        self._sizes = sizes
        self._lock = threading.Lock()
        self._limit = max(limit_bytes // 16, 1)
        self._recent: dict[int, list[int]] = {}
        self._rows: list[bytes] = []
        self._count = 0
        self._gone = _NONE
        self._runs: list[Run] = []
        self._serial = 0
        self._guard = -1
        self._folder = self._take(folder)
        if self._folder is not None:
            found = [open_run(path) for path in sorted(self._folder.glob("*" + SUFFIX))]
            self._runs = [run for run in found if run is not None]
            names = [int(run.path.stem, 16) for run in self._runs if run.path is not None]
            self._serial = max(names, default=0)

    def __len__(self) -> int:
        """How many frames it knows."""
        with self._lock:
            return self._count + sum(len(run.keys) for run in self._runs)

    def add(self, segment: bytes, claim: bytes, frames: Array, keys: Array) -> None:
        """Enter a segment: the numbers and keys of those of its frames that may be shared."""
        with self._lock:
            number = len(self._rows)
            self._rows.append(segment + claim)
            for frame, key in zip(frames.tolist(), keys.tolist(), strict=True):
                self._recent.setdefault(key, []).append(number << 16 | frame)
            self._count += len(keys)
            if max(self._count, len(self._rows)) >= self._sizes.recent:
                self._flush()

    def find(self, digest: bytes) -> list[Place]:
        """Frames that may have that content, the newest first."""
        key = int.from_bytes(digest[:8], "little")
        with self._lock:
            found = []
            for place in self._recent.get(key, [])[: -CANDIDATES - 1 : -1]:
                row = self._rows[place >> 16]
                found.append((row[:ID_BYTES], place & 0xFFFF, row[ID_BYTES:]))
            for run in reversed(self._runs):
                found += run.find(np.uint64(key), CANDIDATES)
            return found[:CANDIDATES]

    def unknown(self, segments: Sequence[bytes]) -> list[bytes]:
        """Those of the segments that were not entered yet."""
        if not segments:
            return []
        ids = np.frombuffer(b"".join(segments), "u1").reshape(-1, ID_BYTES)
        wanted = prefixes(ids)
        with self._lock:
            fresh = ~np.isin(wanted, self._known_recent())
            for run in self._runs:
                at = np.searchsorted(run.known, wanted)
                at[at == len(run.known)] = 0
                fresh &= run.known[at] != wanted if len(run.known) else True
        return [segments[number] for number in np.flatnonzero(fresh).tolist()]

    def largest_claims(self) -> list[bytes]:
        """The claims under which segments were written, those with most of them first."""
        with self._lock:
            tables = [run.segments for run in self._runs]
            if self._rows:
                tables.append(_rows_of(self._rows))
        if not tables:
            return []
        owners = np.concatenate([table[:, ID_BYTES:] for table in tables])
        ids, counts = np.unique(owners, axis=0, return_counts=True)
        return [ids[number].tobytes() for number in np.argsort(-counts, kind="stable").tolist()]

    def retain(self, segments: Sequence[bytes]) -> None:
        """Forget, in time, what is not among these: all segments that there are."""
        ids = np.frombuffer(b"".join(segments), "u1").reshape(-1, ID_BYTES)
        listed = prefixes(ids)
        with self._lock:
            known = [run.known for run in self._runs] or [_NONE]
            self._gone = np.setdiff1d(np.concatenate(known), listed)
            if 4 * len(self._gone) > sum(map(len, known)):
                self._merge(1)

    def close(self) -> None:
        """Write what waits, and close."""
        with self._lock:
            self._flush()
            self._runs = []
            self._rows = []
            self._recent = {}
            self._count = 0
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1

    def _take(self, folder: Path | None) -> Path | None:
        """Make the folder this process's own; None if that cannot be."""
        if folder is None:
            return None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._guard = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if self._guard >= 0:
                os.close(self._guard)
                self._guard = -1
            return None
        return folder

    def _known_recent(self) -> Array:
        if not self._rows:
            return _NONE
        return prefixes(_rows_of(self._rows))

    def _flush(self) -> None:
        if not self._rows:
            return
        rows = _rows_of(self._rows)
        lists = self._recent.values()
        keys = np.repeat(np.fromiter(self._recent, "<u8"), [len(places) for places in lists])
        places = np.array([place for places in lists for place in places], "<u8")
        self._rows, self._recent, self._count = [], {}, 0
        # What cannot be written is read again from the segments another time.
        with suppress(OSError):
            self._runs.append(write_run(self._new_path(), rows, keys, places))
            self._merge(GROWTH)

    def _merge(self, growth: int) -> None:
        """Merge the newest runs while the older is not much larger; with 1, all of them."""
        with suppress(OSError):
            while len(self._runs) > 1:
                old, new = self._runs[-2:]
                size = len(old.keys) + len(old.known)
                if growth > 1 and size >= growth * (len(new.keys) + len(new.known)):
                    return
                self._replace(2, self._merged(old, new))
            if self._runs and (growth == 1 or len(self._runs[0].keys) > self._limit):
                nothing = Run(np.zeros((0, 2 * ID_BYTES), "u1"), _NONE, _NONE, _NONE)
                run = self._merged(self._runs[0], nothing)
                self._replace(1, run)

    def _merged(self, old: Run, new: Run) -> Run:
        return merge(self._new_path(), old, new, self._gone, self._limit, self._sizes.step)

    def _replace(self, count: int, run: Run) -> None:
        for old in self._runs[-count:]:
            if old.path is not None:
                with suppress(OSError):
                    old.path.unlink()
        self._runs[-count:] = [run]

    def _new_path(self) -> Path | None:
        self._serial += 1
        return None if self._folder is None else self._folder / f"{self._serial:016x}{SUFFIX}"


def _rows_of(rows: list[bytes]) -> Array:
    """Segments with their claims, one in each row."""
    return np.frombuffer(b"".join(rows), "u1").reshape(-1, 2 * ID_BYTES)
