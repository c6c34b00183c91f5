"""The one clock: UTC, in integer milliseconds since 1970."""

from __future__ import annotations

import time

# The command line imports this module too, and typing would double what that costs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Clock(Protocol):
    """Tells the time, and waits. Inject it; nothing else may read the system's clock or sleep."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations and time limits."""

    def sleep(self, seconds: float) -> None:
        """Do nothing for so long; nothing if it is not above 0."""


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class ManualClock:
    """A clock for tests, which moves only when told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.milliseconds = now_ms
        self.seconds = 0.0

    def now_ms(self) -> int:
        return self.milliseconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Move the time on: whoever waits for something sees that it has passed."""
        self.advance(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move both readings on by `seconds`."""
        self.milliseconds += round(seconds * 1000)
        self.seconds += seconds
