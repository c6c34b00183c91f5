"""Leaps of time without snapshots, which for a day make nothing older.

A host may start with a clock that is months ahead, until somebody sets it right; by that clock all
snapshots but those of the longest rhythms are too old. After a leap that was none, because the host
was off for so long, they are kept a little longer than wanted: no more of them than before.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from mooring.model.automatic.health import period_of
from mooring.model.automatic.rhythm import HOUR_MS
from mooring.model.automatic.rules import AutoRun

DOUBTED_SECONDS = 24 * 3600.0
"""How long there is to set a clock right, by the steady clock."""


@dataclass(frozen=True, slots=True)
class Leap:
    """From the last snapshot before to the first one after, in milliseconds."""

    last_ms: int
    first_ms: int

    def without(self, now_ms: int) -> int:
        """What time it would be without the leap."""
        return self.last_ms + now_ms - self.first_ms


class Leaps:
    """The last leap of each resource's automatic snapshots, while it is doubted. For all threads.

    What a server has seen of them is forgotten with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], tuple[Leap, float]] = {}

    def doubted(
        self, run: AutoRun, before_ms: int | None, taken_ms: int, steady: float
    ) -> Leap | None:
        """The leap that is doubted yet when one is stored that was taken at `taken_ms`.

        `before_ms` is when the one before was taken; `steady` is read from the steady clock.
        """
        key = run.resource_id, run.source
        with self._lock:
            self._found = {one: seen for one, seen in self._found.items() if steady < seen[1]}
            if key in self._found and taken_ms < self._found[key][0].first_ms:
                del self._found[key]  # the clock was set right
            if before_ms is not None and taken_ms - before_ms > 2 * period_of(run) + HOUR_MS:
                self._found[key] = Leap(before_ms, taken_ms), steady + DOUBTED_SECONDS
            return self._found[key][0] if key in self._found else None
