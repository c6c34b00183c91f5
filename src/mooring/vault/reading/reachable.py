"""Finds all frames that snapshots name."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator

import numpy as np

from mooring.vault.format.blocks import Array
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.cache import ByteCache
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import stored_id, used

REMEMBERED_BYTES = 64 * 1024 * 1024
"""For what directories name: 8 bytes for each frame, 256 KiB for 16 GiB written in order."""

_COMPACT_AT = 8_000_000


class Walk:
    """Gives frames as sorted numbers: the number of their segment << 16 | their own.

    Safe to use from any thread. Directories never change: what they name is remembered, so that
    a later walk reads only what is new.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._lock = threading.Lock()
        self._used: dict[FrameKey, int] = {}
        self._known: ByteCache[FrameKey, Array] = ByteCache(REMEMBERED_BYTES)

    def frames_of(self, root: Root) -> Array:
        """All frames of data and map that a snapshot names. Raises DamageError."""
        parts = [self._of_directory(key) for key in _directories(root)]
        return np.unique(np.concatenate([self._pack(root.table), *parts]))

    def frames_of_all(self, roots: Iterable[Root], seen: set[FrameKey]) -> Iterator[Array]:
        """Yield, in parts, the frames that any of them names; skip the directories seen."""
        for root in roots:
            yield self._pack(root.table)
            for key in _directories(root):
                if key not in seen:
                    part = self._of_directory(key)
                    seen.add(key)
                    yield part

    def used_blocks(self, root: Root) -> int:
        """How many blocks of a snapshot are not zeros. Raises DamageError."""
        total = 0
        for key in _directories(root):
            if key not in self._used:
                self._of_directory(key)
            total += self._used[key]
        return total

    def segments_in(self, frames: Array) -> Iterator[tuple[bytes, Array]]:
        """Yield the segments of sorted frames: their ids, and the frames' numbers in them."""
        numbers = frames >> 16
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
        for start, end in itertools.pairwise(edges):
            yield self._ids[int(numbers[start])], frames[start:end] & 0xFFFF

    def _of_directory(self, key: FrameKey) -> Array:
        found = self._known.get(key)
        if found is None:
            directory = self._frames.directory(key)
            parts = [self._pack(directory)]
            blocks = 0
            for _, page in used(directory):
                references = self._frames.page(page)
                blocks += int(np.count_nonzero(references.segment))
                parts.append(self._pack(references))
            self._used[key] = blocks
            found = np.unique(np.concatenate(parts))
            self._known.put(key, found, found.nbytes + 200)
        return found

    def _pack(self, references: References) -> Array:
        numbers = [0, *(self._number(stored_id(segment)) for segment in references.segments)]
        filled = references.segment != 0
        wide = np.array(numbers, np.int64)[references.segment[filled]]
        return np.unique(wide << 16 | references.frame[filled])

    def _number(self, segment: bytes) -> int:
        with self._lock:
            number = self._numbers.setdefault(segment, len(self._numbers))
            if number == len(self._ids):
                self._ids.append(segment)
        return number


class FrameSet:
    """Many frames, most of them given more than once."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._count = 0
        self._limit = _COMPACT_AT

    def add(self, frames: Array) -> None:
        self._parts.append(frames)
        self._count += len(frames)
        if self._count > self._limit:
            self._limit = len(self.sorted()) + _COMPACT_AT

    def sorted(self) -> Array:
        """All of them once."""
        if self._parts:
            self._parts = [np.unique(np.concatenate(self._parts))]
        self._count = sum(map(len, self._parts))
        return self._parts[0] if self._parts else np.zeros(0, np.int64)


def _directories(root: Root) -> Iterator[FrameKey]:
    return (key for _, key in used(root.table))
