"""Finds all frames that snapshots name."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import suppress
from itertools import islice

import numpy as np

from mooring.model.errors import DamageError
from mooring.vault.format.blocks import Array
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.cache import ByteCache
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import stored_id, used
from mooring.vault.store.abreast import Abreast

REMEMBERED_BYTES = 64 * 1024 * 1024
"""For what directories and pages name: 8 bytes for each page or frame, 4 KiB and 512 bytes for a
directory and a page that are written in order."""

_ROOTS_AHEAD = 256
_PAGES_AHEAD = 4096
_KEYS_AHEAD = 256
_COMPACT_AT = 8_000_000


class Walk:
    """Gives frames as sorted numbers: the number of their segment << 16 | their own.

    Safe to use from any thread. Directories and pages never change: what they name is remembered,
    so that a later walk reads only what is new. Each is remembered by itself, because a snapshot
    has all pages of the one before but those that changed.
    """

    def __init__(self, frames: Frames, abreast: Abreast) -> None:
        self._frames = frames
        self._abreast = abreast
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._lock = threading.Lock()
        self._used: dict[FrameKey, int] = {}
        self._known: ByteCache[FrameKey, Array] = ByteCache(REMEMBERED_BYTES)

    def frames_of(self, root: Root) -> Array:
        """All frames of data and map that a snapshot names. Raises DamageError."""
        return np.unique(np.concatenate(list(self.new_frames_of(root, set()))))

    def new_frames_of(self, root: Root, seen: set[FrameKey]) -> Iterator[Array]:
        """Yield, in parts, the frames that a snapshot names; skip directories and pages seen.

        Raises DamageError; what could be read has been seen then.
        """
        yield self._pack(root.table)
        directories = [key for _, key in used(root.table) if key not in seen]
        for key in self._ahead(self._directory, directories):
            yield (directory := self._directory(key))
            pages = [page for page in self._keys(directory) if page not in seen]
            for page in self._ahead(self._page, pages):
                yield self._page(page)
                seen.add(page)
            self._used_in(key)
            seen.add(key)

    def ahead(self, roots: Iterable[Root], seen: Set[FrameKey] = frozenset()) -> Iterator[Root]:
        """Yield the roots, after what the next of them name was read side by side.

        What is damaged is left to whoever asks for it.
        """
        left = iter(roots)
        while some := list(islice(left, _ROOTS_AHEAD)):
            directories = dict.fromkeys(key for root in some for _, key in used(root.table))
            new = [key for key in directories if key not in seen]
            self._read(self._directory, new)
            known = (self._known.get(key) for key in new)
            pages = (page for one in known if one is not None for page in self._keys(one))
            few = islice((page for page in dict.fromkeys(pages) if page not in seen), _PAGES_AHEAD)
            self._read(self._page, list(few))
            yield from some

    def used_blocks(self, root: Root) -> int:
        """How many blocks of a snapshot are not zeros. Raises DamageError."""
        return sum(self._used_in(key) for _, key in used(root.table))

    def forget(self, seen: Set[FrameKey]) -> None:
        """Of directories and pages, count the blocks only of these any longer."""
        self._used = {key: count for key, count in self._used.copy().items() if key in seen}

    def segments_in(self, frames: Array) -> Iterator[tuple[bytes, Array]]:
        """Yield the segments of sorted frames: their ids, and the frames' numbers in them."""
        numbers = frames >> 16
        edges = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1)).tolist()
        for start, end in itertools.pairwise(edges):
            yield self._ids[int(numbers[start])], frames[start:end] & 0xFFFF

    def _ahead(self, read: Callable[[FrameKey], Array], keys: list[FrameKey]) -> Iterator[FrameKey]:
        """Yield the keys, after the next of them were read side by side."""
        left = iter(keys)
        while some := list(islice(left, _KEYS_AHEAD)):
            self._read(read, some)
            yield from some

    def _read(self, read: Callable[[FrameKey], Array], keys: list[FrameKey]) -> None:
        def attempt(key: FrameKey) -> None:
            with suppress(DamageError):
                read(key)

        new = [key for key in keys if self._known.get(key) is None]
        if len(new) > 1:
            for _ in self._abreast.map(attempt, new):
                pass

    def _directory(self, key: FrameKey) -> Array:
        """The pages that a directory names, one for each slot that is not empty."""
        found = self._known.get(key)
        if found is None:
            found = self._wide(self._frames.directory(key))
            self._known.put(key, found, found.nbytes + 200)
        return found

    def _page(self, key: FrameKey) -> Array:
        """The frames that a page names, each once."""
        found = self._known.get(key)
        if found is None:
            references = self._frames.page(key)
            self._used[key] = _used_blocks(references)
            found = self._pack(references)
            self._known.put(key, found, found.nbytes + 200)
        return found

    def _used_in(self, directory: FrameKey) -> int:
        count = self._used.get(directory)
        if count is None:
            count = sum(map(self._used_in_page, self._keys(self._directory(directory))))
            self._used[directory] = count
        return count

    def _used_in_page(self, key: FrameKey) -> int:
        count = self._used.get(key)
        if count is None:
            count = self._used[key] = _used_blocks(self._frames.page(key))
        return count

    def _keys(self, frames: Array) -> Iterator[FrameKey]:
        return ((self._ids[number >> 16], number & 0xFFFF) for number in frames.tolist())

    def _pack(self, references: References) -> Array:
        return np.unique(self._wide(references))

    def _wide(self, references: References) -> Array:
        numbers = [0, *(self._number(stored_id(segment)) for segment in references.segments)]
        filled = references.segment != 0
        wide = np.array(numbers, np.int64)[references.segment[filled]]
        result: Array = wide << 16 | references.frame[filled]
        return result

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


def _used_blocks(page: References) -> int:
    return int(np.count_nonzero(page.segment))
