"""What a soak's writers wrote when, and what a snapshot may hold of it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Sequences = NDArray[np.int64]
Others = dict[int, set[int]]

ZEROS = 0
"""The sequence number of a block of zeros."""


@dataclass(slots=True)
class Kill:
    """A storage daemon's death: it was alive before `begun`, and dead after `ended`."""

    begun: float
    ended: float = math.inf


@dataclass(slots=True)
class Change:
    """One write, of `sequence` to blocks from `first`; times are of the monotonic clock.

    A trim may leave zeros or what was there. `found` in place of a sequence says what was read
    back after a kill, which settles what became of the writes before.
    """

    first: int
    count: int
    sequence: int
    issued: float
    trim: bool = False
    found: Sequences | None = None
    acknowledged: float = math.inf
    flushed: float = math.inf

    def sequences(self) -> list[int]:
        if self.found is not None:
            return list(self.found.tolist())
        return [self.sequence] * self.count

    def certain(self, requested: float, replied: float, kills: Sequence[Kill]) -> bool:
        """Whether all that is frozen between request and reply must hold it."""
        if self.trim or self.acknowledged >= requested:
            return False
        return not any(
            self.issued < kill.ended and kill.begun <= min(self.flushed, replied) for kill in kills
        )


@dataclass
class History:
    """One writer's blocks of one disk, from block `start`; it has one request at a time."""

    start: int
    count: int
    kills: list[Kill]
    changes: deque[Change] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._held = np.zeros(self.count, np.int64)
        self._others: Others = {}

    def add(self, change: Change) -> Change:
        with self.lock:
            self.changes.append(change)
        return change

    def set_back(self, found: Sequences, now: float) -> None:
        """It holds, durably, what was found in a snapshot."""
        change = Change(0, self.count, -1, now, found=found)
        change.acknowledged = change.flushed = now
        self.add(change)

    def flushed(self, asked: float, answered: float) -> None:
        """A flush asked for at that time has succeeded."""
        with self.lock:
            for change in reversed(self.changes):
                if change.flushed < math.inf:
                    break
                if change.acknowledged <= asked:
                    change.flushed = answered

    def fold(self, before: float, now: float) -> None:
        """Forget how it came to what was flushed before that time."""
        with self.lock:
            while self.changes and self.changes[0].flushed < before:
                change = self.changes.popleft()
                _apply(self._held, self._others, change, change.certain(before, now, self.kills))

    def wrong(self, found: Sequences, requested: float, replied: float) -> list[str]:
        """The blocks of which a snapshot holds what it must not, told in words."""
        with self.lock:
            held = self._held.copy()
            others = {block: set(known) for block, known in self._others.items()}
            for change in self.changes:
                if change.issued > replied:
                    break
                certain = change.certain(requested, replied, self.kills)
                _apply(held, others, change, certain)
        return [
            f"block {self.start + block} holds write {found[block]}; "
            f"must be {held[block]} or one of {sorted(others.get(block, ()))[-5:]}"
            for block in np.flatnonzero(found != held).tolist()
            if int(found[block]) not in others.get(block, ())
        ]


def _apply(held: Sequences, others: Others, change: Change, certain: bool) -> None:
    end = change.first + change.count
    for block, sequence in zip(range(change.first, end), change.sequences(), strict=True):
        if certain:
            held[block] = sequence
            others.pop(block, None)
        else:
            others.setdefault(block, set()).add(sequence)
