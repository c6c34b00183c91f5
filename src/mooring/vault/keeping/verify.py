"""Reads frames back and lists the damage as snapshots and byte ranges."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mooring.model.errors import DamageError
from mooring.model.extents import BLOCK_SIZE, Extent, joined
from mooring.vault.format.blocks import runs
from mooring.vault.format.frame import Kind
from mooring.vault.format.layout import DIRECTORY_BYTES, PAGE_BLOCKS, PAGE_BYTES
from mooring.vault.format.references import References
from mooring.vault.format.root import Root
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.slots import frame_numbers, numbered_frames, used, walk_pages
from mooring.vault.store.abreast import Abreast


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

    def run(self, roots: Sequence[Root], sample: float) -> list[Damage]:
        """Check the maps of all snapshots, and the given part (0 to 1) of their frames of data."""
        keys = list(self._data_keys(roots))
        if sample < 1:
            # Not for secrecy: any even choice does.
            keys = random.sample(keys, max(1, round(len(keys) * sample))) if keys else []
        keys.sort()
        for key, problem in zip(keys, self._abreast.map(self._check, keys), strict=True):
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
                for _, key in numbered_frames(page, frame_numbers(page)):
                    if key not in seen:
                        seen.add(key)
                        yield key

    def _pages(
        self, table: References, seen: set[FrameKey] | None
    ) -> Iterator[tuple[int, References]]:
        """Yield the readable pages, those not seen yet, with their numbers; note the others."""
        walk = walk_pages(
            table,
            lambda key: self._load(key, Kind.DIRECTORY, seen),
            lambda key: self._load(key, Kind.PAGE, seen),
        )
        return ((number, page) for number, _, page in walk)

    def _load(self, key: FrameKey, kind: Kind, seen: set[FrameKey] | None) -> References | None:
        if key in self._bad or (seen is not None and key in seen):
            return None
        if seen is not None:
            seen.add(key)
        try:
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
        for upper, key in used(root.table):
            start = upper * DIRECTORY_BYTES
            directory = self._load(key, Kind.DIRECTORY, None)
            if directory is None:
                yield start, start + DIRECTORY_BYTES, self._bad[key]
                continue
            for lower, page_key in used(directory):
                page_start = start + lower * PAGE_BYTES
                page = self._load(page_key, Kind.PAGE, None)
                if page is None:
                    yield page_start, page_start + PAGE_BYTES, self._bad[page_key]
                else:
                    yield from self._bad_blocks(page, page_start)

    def _bad_blocks(self, page: References, base: int) -> Iterator[tuple[int, int, str]]:
        bad = np.zeros(PAGE_BLOCKS, bool)
        problems = []
        numbers = frame_numbers(page)
        for number, key in numbered_frames(page, numbers):
            if key in self._bad:
                bad |= numbers == number
                problems.append(self._bad[key])
        for start, end in (runs(bad) * BLOCK_SIZE + base).tolist():
            yield start, end, "; ".join(problems)


def damaged_roots(problems: Mapping[str, str]) -> list[Damage]:
    """The damage of snapshots whose roots cannot be read."""
    return [
        Damage(snapshot_id=snapshot_id, extents=(), problem=problem)
        for snapshot_id, problem in problems.items()
    ]
