"""Reads frames back and lists the damage as snapshots and byte ranges."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice

import numpy as np

from mooring.model.errors import DamageError
from mooring.model.extents import BLOCK_SIZE, Extent, joined
from mooring.vault.format.blocks import Array, runs
from mooring.vault.format.frame import Kind
from mooring.vault.format.layout import DIRECTORY_BYTES, DIRECTORY_PAGES, PAGE_BLOCKS, PAGE_BYTES
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.map_reader import frame_key, stored_id

_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What of a snapshot cannot be read. No extents: nothing of it can."""

    snapshot_id: str
    extents: Sequence[Extent]
    problem: str


class Verification:
    """One run over a number of snapshots; what they share is read once."""

    def __init__(self, frames: Frames, workers: Executor) -> None:
        self._frames = frames
        self._workers = workers
        self._bad: dict[FrameKey, str] = {}

    def run(self, roots: Sequence[Root], sample: float) -> list[Damage]:
        """Check the maps of all snapshots, and the given part (0 to 1) of their frames of data."""
        keys = list(self._data_keys(roots))
        if sample < 1:
            # Not for secrecy: any even choice does.
            keys = random.sample(keys, max(1, round(len(keys) * sample))) if keys else []
        keys.sort()
        batches = iter(keys)
        while batch := list(islice(batches, _BATCH)):
            for key, problem in zip(batch, self._workers.map(self._check, batch), strict=True):
                if problem:
                    self._bad[key] = problem
        if not self._bad:
            return []
        return [damage for root in roots if (damage := self._damage(root)) is not None]

    @property
    def bad(self) -> Mapping[FrameKey, str]:
        """The damaged frames that were found, of data and of maps, each with its problem."""
        return self._bad

    def _check(self, key: FrameKey) -> str:
        try:
            self._frames.load(key, Kind.DATA)
        except DamageError as error:
            return str(error)
        return ""

    def _data_keys(self, roots: Iterable[Root]) -> Iterator[FrameKey]:
        seen: set[FrameKey] = set()
        for root in roots:
            for _, page in self._pages(root.table, seen):
                for key, _ in _frames_of(page):
                    if key not in seen:
                        seen.add(key)
                        yield key

    def _pages(
        self, table: References, seen: set[FrameKey] | None
    ) -> Iterator[tuple[int, References]]:
        """Yield the readable pages, those not seen yet, with their numbers; note the others."""
        for upper in table.segment.nonzero()[0].tolist():
            key = frame_key(table, upper)
            directory = self._load(key, Kind.DIRECTORY, seen)
            if directory is None:
                continue
            for lower in directory.segment.nonzero()[0].tolist():
                page = self._load(frame_key(directory, lower), Kind.PAGE, seen)
                if page is not None:
                    yield upper * DIRECTORY_PAGES + lower, page

    def _load(
        self, key: FrameKey | None, kind: Kind, seen: set[FrameKey] | None
    ) -> References | None:
        if key is None or key in self._bad or (seen is not None and key in seen):
            return None
        if seen is not None:
            seen.add(key)
        try:
            if seen is not None:
                # Past the caches: what is checked is what the store has now.
                self._frames.load(key, kind)
            is_page = kind == Kind.PAGE
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
        for upper in root.table.segment.nonzero()[0].tolist():
            key = frame_key(root.table, upper)
            start = upper * DIRECTORY_BYTES
            directory = self._load(key, Kind.DIRECTORY, None)
            if directory is None:
                yield start, start + DIRECTORY_BYTES, self._why(key)
                continue
            for lower in directory.segment.nonzero()[0].tolist():
                key = frame_key(directory, lower)
                page_start = start + lower * PAGE_BYTES
                page = self._load(key, Kind.PAGE, None)
                if page is None:
                    yield page_start, page_start + PAGE_BYTES, self._why(key)
                else:
                    yield from self._bad_blocks(page, page_start)

    def _bad_blocks(self, page: References, base: int) -> Iterator[tuple[int, int, str]]:
        bad = np.zeros(PAGE_BLOCKS, bool)
        problems = []
        for key, slots in _frames_of(page):
            if key in self._bad:
                bad |= slots()
                problems.append(self._bad[key])
        for start, end in (runs(bad) * BLOCK_SIZE + base).tolist():
            yield start, end, "; ".join(problems)

    def _why(self, key: FrameKey | None) -> str:
        return self._bad.get(key, "") if key else ""


class _Slots:
    """The slots of a page that refer to one frame, found only when asked for."""

    def __init__(self, packed: Array, value: int) -> None:
        self._packed = packed
        self._value = value

    def __call__(self) -> Array:
        result: Array = self._packed == self._value
        return result


def _frames_of(page: References) -> Iterator[tuple[FrameKey, _Slots]]:
    packed = page.segment.astype(np.uint32) << 16 | page.frame
    for value in np.unique(packed[page.segment != 0]).tolist():
        key = (stored_id(page.segments[(value >> 16) - 1]), value & 0xFFFF)
        yield key, _Slots(packed, value)


def damaged_roots(problems: Mapping[str, str]) -> list[Damage]:
    """The damage of snapshots whose roots cannot be read."""
    return [
        Damage(snapshot_id=snapshot_id, extents=(), problem=problem)
        for snapshot_id, problem in problems.items()
    ]
