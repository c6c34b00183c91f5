"""How far a job is, recorded now and then rather than always."""

from __future__ import annotations

from collections.abc import Callable

from mooring.jobs.running.procedure import Work

INTERVAL = 0.25
"""Seconds between two tellings: often enough for people, seldom enough for the catalog."""


class Progress:
    """Counts bytes towards a total. `tell` gets the per cent reached, and may raise to give up."""

    def __init__(self, work: Work, total: int, tell: Callable[[int], None]) -> None:
        self._clock = work.backend.clock
        self._meter = work.backend.meter
        self._job = work.job.id
        self._total = max(total, 1)
        self._tell = tell
        self._due = self._clock.monotonic() + INTERVAL

    def reached(self, done: int) -> None:
        """Say that so much of the total is done; 100 % is left to whoever ends the job."""
        now = self._clock.monotonic()
        if now >= self._due:
            self._due = now + INTERVAL
            self._meter.note(self._job, done, self._total, now)
            self._tell(min(99, 100 * done // self._total))
