"""The thread that takes automatic snapshots: it wakes when the next is due."""

from __future__ import annotations

import threading

from mooring.backend.backend import Backend
from mooring.jobs.automatic import outcomes
from mooring.jobs.automatic.due import take_due
from mooring.jobs.automatic.following import Followers
from mooring.model.operation import ResourceType
from mooring.observe.loop import Loop

LONGEST_SECONDS = 10.0
"""How long it sleeps at most: then a clock that has jumped is noticed, and disks that are new."""

BLOCKED_SECONDS = 0.5
"""How long it sleeps at first while one is due that cannot be taken, for a reason whose end nobody
tells; then twice as long each time."""

TELL_SECONDS = 60.0
"""How often the metrics of automatic snapshots are set."""


class Timetable:
    """Takes automatic snapshots when they are due.

    It is told by the catalog when a rhythm is new or another, and when the snapshot for which the
    next one waits has ended.
    """

    def __init__(self, backend: Backend, rhythms: str = "", instance_rhythms: str = "") -> None:
        """`rhythms` and `instance_rhythms` are those of all disks, and of all instances, without
        a tag of their own."""
        self._backend = backend
        policies = {ResourceType.DISK: rhythms, ResourceType.INSTANCE: instance_rhythms}
        self._followers = [Followers(backend, kind, policies[kind]) for kind in policies]
        self._look_at_ms: int | None = None
        self._blocked_seconds = BLOCKED_SECONDS
        self._tell_at = backend.clock.monotonic()
        self._changed = threading.Condition()
        self._news = 0
        self._loop = Loop("jobs-timetable", self._round, wake=self.wake)

    def start(self) -> None:
        self._backend.catalog.tell_of_runs(self.wake)
        self._loop.start()

    def stop(self) -> None:
        """Take no more. May be called without `start`."""
        self._loop.stop()

    def forget_old_rhythms(self) -> None:
        """At the start: runs by rhythms that the configuration does not have any more."""
        for followers in self._followers:
            followers.forget_others()

    def look(self) -> float:
        """Begin what is due now; returns after how many seconds to look again."""
        clock = self._backend.clock
        now = clock.now_ms()
        looked = now if self._look_at_ms is None else self._look_at_ms
        # What was due while it slept on purpose was not missed; if it is a little late, neither.
        if now - looked <= LONGEST_SECONDS * 1000:
            looked = now
        more = [followers.look() for followers in self._followers]
        begun = take_due(self._backend, None if self._look_at_ms is None else looked)
        if self._tell_at <= clock.monotonic():
            self._tell_at = clock.monotonic() + TELL_SECONDS
            outcomes.tell(self._backend)
        if begun:
            self._blocked_seconds = BLOCKED_SECONDS
        seconds = 0.0 if any(more) else self._seconds(now)
        self._look_at_ms = now + round(seconds * 1000)
        return seconds

    def _seconds(self, looked_ms: int) -> float:
        with self._backend.catalog.read() as transaction:
            runs = transaction.auto_runs
            blocked = bool(runs.due(looked_ms, limit=1) or runs.set_back(looked_ms, limit=1))
            next_ms = runs.next_ms(looked_ms)
        seconds = LONGEST_SECONDS
        if blocked:
            seconds = min(seconds, self._blocked_seconds)
            self._blocked_seconds = 2 * seconds
        if next_ms is None:
            return seconds
        return max(0.0, min(seconds, (next_ms - self._backend.clock.now_ms()) / 1000))

    def wake(self) -> None:
        """Look at once."""
        with self._changed:
            self._news += 1
            self._blocked_seconds = BLOCKED_SECONDS
            self._changed.notify()

    def _round(self) -> None:
        news = self._news
        seconds = self.look()
        with self._changed:
            if self._news == news and not self._loop.stopping:
                self._changed.wait(seconds)
