"""Answers monitors: whether anything can be recorded, and whether all parts work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from anyio import Lock, move_on_after, to_thread

from mooring.model.clock import Clock

Parts = Mapping[str, str | None]
"""Each part of a server, and what keeps it from working, if anything."""

Found = TypeVar("Found")

FRESH_SECONDS = 1.0
"""For how long an answer is repeated: monitors need no key, so many may ask at once."""

PATIENCE_SECONDS = 5.0


class Health(Generic[Found]):
    """Asks when somebody wants to know, and repeats the answer for a moment."""

    def __init__(self, ask: Callable[[], Found], silent: Found, clock: Clock) -> None:
        """`silent` is the answer where none comes."""
        self._ask, self._silent, self._clock = ask, silent, clock
        self._found = silent
        self._until = float("-inf")
        self._lock = Lock()

    async def found(self) -> Found:
        """What was found just now."""
        async with self._lock:
            if self._clock.monotonic() >= self._until:
                self._found = self._silent
                with move_on_after(PATIENCE_SECONDS):
                    self._found = await to_thread.run_sync(self._ask, abandon_on_cancel=True)
                self._until = self._clock.monotonic() + FRESH_SECONDS
            return self._found


SILENT = f"the catalog has not answered for {PATIENCE_SECONDS:g} seconds"
SILENT_PARTS: Parts = {"all": f"no answer for {PATIENCE_SECONDS:g} seconds"}


def no_problem() -> str | None:
    """For a front door with nothing behind it that could fail."""
    return None


def no_parts() -> Parts:
    """The same, part by part."""
    return {}


def told(parts: Parts) -> str:
    """A line for each part; those that do not work come first."""
    lines = sorted(parts.items(), key=lambda one: one[1] is None)
    return "".join(
        f"ok   {name}\n" if why is None else f"BAD  {name}: {why}\n" for name, why in lines
    )
