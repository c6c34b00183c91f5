"""Keeps work from taking the whole machine: how fast, and how important."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mooring.model.clock import Clock

_WORTH_SECONDS = 0.01


class Pace:
    """Lets all who share it write so many bytes a second together; 0 for no limit."""

    def __init__(self, clock: Clock, bytes_per_second: int) -> None:
        self._clock = clock
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free = 0.0

    def spend(self, count: int) -> None:
        """Wait until what was spent before is paid for; then `count` bytes may be written."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            # What was not used before is not saved up.
            self._free = max(self._free, now)
            wait = self._free - now
            self._free += count / self._rate
        if wait > _WORTH_SECONDS:
            self._clock.sleep(wait)


class Rests:
    """Has whoever works on something rest as long as each piece of it took.

    Then others have the device for half of the time; and the more they use it, the longer a piece
    takes, and the longer they have it for themselves.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @contextmanager
    def piece(self) -> Iterator[None]:
        """The work on one piece, and the rest after it."""
        began = self._clock.monotonic()
        yield
        self._clock.sleep(self._clock.monotonic() - began)


def lower_priority(nice: int) -> None:
    """Let the calling thread yield to others by so much; its I/O priority follows from that."""
    thread = threading.get_native_id()
    # A process that gives way even more stays like that: only root could take it back.
    if nice > os.getpriority(os.PRIO_PROCESS, thread):
        os.setpriority(os.PRIO_PROCESS, thread, nice)
