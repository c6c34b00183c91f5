"""Answers monitors: whether anything can be read and recorded."""

from __future__ import annotations

from collections.abc import Callable

from anyio import Lock, move_on_after, to_thread

from mooring.model.clock import Clock

FRESH_SECONDS = 1.0
"""For how long an answer is repeated: monitors need no key, so many may ask at once."""

PATIENCE_SECONDS = 5.0


class Health:
    """Asks `problem` when somebody wants to know; it says in a sentence what is wrong."""

    def __init__(self, problem: Callable[[], str | None], clock: Clock) -> None:
        self._problem, self._clock = problem, clock
        self._found: str | None = None
        self._until = float("-inf")
        self._lock = Lock()

    async def problem(self) -> str | None:
        """What is wrong, if anything."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                self._found = f"the catalog has not answered for {PATIENCE_SECONDS:g} seconds"
                with move_on_after(PATIENCE_SECONDS):
                    self._found = await to_thread.run_sync(self._problem, abandon_on_cancel=True)
                self._until = self._clock.monotonic() + FRESH_SECONDS
            return self._found


def no_problem() -> str | None:
    """For a front door with nothing behind it that could fail."""
    return None
