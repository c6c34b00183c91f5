"""The machine's clock, and how far it was put forward."""

from __future__ import annotations

from mooring.model.clock import SystemClock


class ForwardClock(SystemClock):
    """Goes as the machine's does, ahead of it by what it was advanced."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self._ahead_ms

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead_ms / 1000

    def advance_to(self, moment_ms: int) -> None:
        """Let it be at least that time."""
        self._ahead_ms += max(0, moment_ms - self.now_ms())

    def seconds_of_machine(self) -> float:
        """Seconds that pass without being advanced, to wait no longer than that."""
        return super().monotonic()
