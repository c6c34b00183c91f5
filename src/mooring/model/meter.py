"""How far jobs of this server are, and how fast they go on."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

MOST = 256
"""Jobs that are remembered; more do not run at a time."""

WINDOW_SECONDS = 20.0
"""A rate is that of so long: long enough to be steady, short enough to follow what happens."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Bytes done of a total, and how many a second; 0 while that cannot be said."""

    done: int
    total: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on like this."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


@dataclass(slots=True)
class _Course:
    total: int
    seen: deque[tuple[float, int]] = field(default_factory=deque)


class Meter:
    """Is told by jobs how far they are. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}

    def note(self, job_id: str, done: int, total: int, now: float) -> None:
        """At a moment, in seconds, so much of the total was done."""
        with self._lock:
            course = self._courses.pop(job_id, None)
            if course is None or (course.seen and course.seen[-1][1] > done):
                course = _Course(total)  # it began anew
            course.total = total
            course.seen.append((now, done))
            while len(course.seen) > 2 and now - course.seen[1][0] > WINDOW_SECONDS:
                course.seen.popleft()
            self._courses[job_id] = course  # behind all others: it is the last that is forgotten
            while len(self._courses) > MOST:
                del self._courses[next(iter(self._courses))]

    def pace(self, job_id: str) -> Pace | None:
        """How far a job is; None if it has told nothing."""
        with self._lock:
            course = self._courses.get(job_id)
            if course is None:
                return None
            (first, begun), (last, done) = course.seen[0], course.seen[-1]
        rate = (done - begun) / (last - first) if last > first else 0.0
        return Pace(done, course.total, rate)
