"""A bounded number of threads, with a bounded queue of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from mooring.model.counts import counted
from mooring.model.errors import ThrottlingException
from mooring.model.traffic import Traffic

Result = TypeVar("Result")

WAITING_PER_WORKER = 16
"""How many calls may wait for each that is worked on; more are sent away to come back."""


READING_AT_ONCE = 2
"""How many reading calls are worked on at once.

They compute more than they wait, one at a time under the interpreter's lock: more threads would
only take turns. Two rather than one, because a read may wait for a commit to be durable.
"""


class Workers:
    """Runs calls in threads, and counts them as traffic. For use within one event loop."""

    def __init__(self, at_once: int, traffic: Traffic) -> None:
        self._at_once = at_once
        self._traffic = traffic
        self._limiter = CapacityLimiter(at_once)
        self._reading = CapacityLimiter(min(at_once, READING_AT_ONCE))
        # Counted here: what the limiter counts as waiting lags behind a burst.
        self._inside = 0

    async def run(self, call: Callable[[], Result], *, reads: bool = False) -> Result:
        """Return what the call returns; `reads` says that it only reads the catalog.

        Raises ThrottlingException when too many wait already.
        """
        waiting = self._at_once * WAITING_PER_WORKER
        if self._inside >= self._at_once + waiting:
            raise ThrottlingException(
                f"{counted(self._at_once, 'request')} being processed, and {waiting} waiting. "
                "Try again later; the server's limits.requests sets the limit."
            )
        self._inside += 1
        try:
            limiter = self._reading if reads else self._limiter
            with self._traffic.request():
                return await to_thread.run_sync(call, limiter=limiter)
        finally:
            self._inside -= 1
