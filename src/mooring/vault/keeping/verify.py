"""Reads frames back and lists the damage as snapshots and byte ranges."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mooring.model.errors import DamageError
from mooring.model.extents import BLOCK_SIZE, Extent, joined
from mooring.vault.format.blocks import runs
from mooring.vault.format.frame import Kind
from mooring.vault.format.layout import DIRECTORY_BYTES, PAGE_BLOCKS, PAGE_BYTES
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import frame_numbers, numbered_frames, used
from mooring.vault.store.abreast import AT_ONCE, Abreast

LARGEST_BATCH = 8
"""Frames for one thread at a time: handing over one takes as long as reading a small one."""

Ranges = list[tuple[int, int, str]]
"""Where something cannot be read: begin and end in bytes, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What of a snapshot cannot be read. No extents: nothing of it can."""

    snapshot_id: str
    extents: Sequence[Extent]
    problem: str


class Verification:
    """One run over a number of snapshots; what they share is read once."""

    def __init__(self, frames: Frames, abreast: Abreast) -> None:
        """`frames` have read nothing yet: what is checked is what the store has now."""
        self._frames = frames
        self._abreast = abreast
        self._bad: dict[FrameKey, str] = {}
        self._bad_in: dict[FrameKey, Ranges] = {}

    def run(self, roots: Sequence[Root], sample: float) -> list[Damage]:
        """Check the maps of all snapshots, and the given part (0 to 1) of their frames of data."""
        keys = list(self._data_keys(roots))
        if sample < 1:
            # Not for secrecy: any even choice does.
            keys = random.sample(keys, max(1, round(len(keys) * sample))) if keys else []
        keys.sort()
        for problems in self._abreast.map(self._check, list(_batches(keys))):
            self._bad.update(problems)
        if not self._bad:
            return []
        return [damage for root in roots if (damage := self._damage(root)) is not None]

    @property
    def bad(self) -> Mapping[FrameKey, str]:
        """The damaged frames that were found, of data and of maps, each with its problem."""
        return self._bad

    def _check(self, keys: Sequence[FrameKey]) -> dict[FrameKey, str]:
        """What is wrong with which of these frames."""
        problems = {}
        for key in keys:
            try:
                self._frames.load(key, Kind.DATA)
            except DamageError as error:
                problems[key] = str(error)
        return problems

    def _data_keys(self, roots: Iterable[Root]) -> Iterator[FrameKey]:
        """Yield the frames of data, each once; read directories and pages side by side."""
        seen: set[FrameKey] = set()

        def new(keys: Iterable[tuple[int, FrameKey]]) -> Iterator[FrameKey]:
            for _, key in keys:
                if key not in seen:
                    seen.add(key)
                    yield key

        directories = self._read((key for root in roots for key in new(used(root.table))), False)
        pages = self._read((key for one in directories for key in new(used(one))), True)
        for page in pages:
            yield from new(numbered_frames(page, frame_numbers(page)))

    def _read(self, keys: Iterable[FrameKey], are_pages: bool) -> Iterator[References]:
        """Yield the readable of these directories or pages; note the others."""
        for found in self._abreast.map(partial(self._load, are_pages), keys):
            if found is not None:
                yield found

    def _load(self, is_page: bool, key: FrameKey) -> References | None:
        if key in self._bad:
            return None
        try:
            return self._frames.page(key) if is_page else self._frames.directory(key)
        except DamageError as error:
            self._bad[key] = str(error)
            return None

    def _damage(self, root: Root) -> Damage | None:
        found = list(self._bad_ranges(root))
        if not found:
            return None
        size = root.info.size
        extents = joined(
            Extent(start, min(end, size) - start) for start, end, _ in found if start < size
        )
        problems = dict.fromkeys(problem for _, _, problem in found)
        return Damage(snapshot_id=root.id, extents=list(extents), problem="; ".join(problems))

    def _bad_ranges(self, root: Root) -> Iterator[tuple[int, int, str]]:
        for upper, key in used(root.table):
            yield from _shifted(upper * DIRECTORY_BYTES, self._bad_in_directory(key))

    def _bad_in_directory(self, key: FrameKey) -> Ranges:
        """What cannot be read of a directory's part of a disk, from its beginning on.

        Like that of a page it is remembered: most snapshots have it from the one before.
        """
        found = self._bad_in.get(key)
        if found is None:
            directory = self._load(False, key)
            if directory is None:
                found = [(0, DIRECTORY_BYTES, self._bad[key])]
            else:
                found = []
                for lower, page in used(directory):
                    found += _shifted(lower * PAGE_BYTES, self._bad_in_page(page))
            self._bad_in[key] = found
        return found

    def _bad_in_page(self, key: FrameKey) -> Ranges:
        found = self._bad_in.get(key)
        if found is None:
            page = self._load(True, key)
            found = [(0, PAGE_BYTES, self._bad[key])] if page is None else self._bad_blocks(page)
            self._bad_in[key] = found
        return found

    def _bad_blocks(self, page: References) -> Ranges:
        bad = np.zeros(PAGE_BLOCKS, bool)
        problems = []
        numbers = frame_numbers(page)
        for number, key in numbered_frames(page, numbers):
            if key in self._bad:
                bad |= numbers == number
                problems.append(self._bad[key])
        ranges = (runs(bad) * BLOCK_SIZE).tolist()
        return [(start, end, "; ".join(problems)) for start, end in ranges]


def _batches(keys: Sequence[FrameKey]) -> Iterator[Sequence[FrameKey]]:
    """Frames to be read one after the other, fewer where they would not keep all threads busy."""
    size = max(1, min(LARGEST_BATCH, len(keys) // (4 * AT_ONCE)))
    return (keys[at : at + size] for at in range(0, len(keys), size))


def _shifted(by: int, ranges: Ranges) -> Ranges:
    return [(start + by, end + by, problem) for start, end, problem in ranges]


def damaged_roots(problems: Mapping[str, str]) -> list[Damage]:
    """The damage of snapshots whose roots cannot be read."""
    return [
        Damage(snapshot_id=snapshot_id, extents=(), problem=problem)
        for snapshot_id, problem in problems.items()
    ]
