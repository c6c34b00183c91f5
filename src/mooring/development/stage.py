"""What a test has asked for: held and failing snapshots, lost answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

EVERY = ""
"""In place of a resource's name: whatever it is called."""


@dataclass(frozen=True, slots=True)
class Failing:
    """What fails as often as `times` says, with that reason."""

    reason: str
    times: int


class Stage:
    """Snapshots by the names under which they are asked for. May be used from any thread.

    A name is that of a snapshot, or of the disk or instance that it is of, or `EVERY`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, int] = {}
        self._failing: dict[str, Failing] = {}
        self._lost: dict[str, int] = {}

    def hold(self, name: str, percent: int) -> None:
        """Hold the storing of such snapshots at so many per cent until they are released."""
        with self._lock:
            self._held[name] = percent

    def release(self, name: str) -> None:
        """Let such snapshots go on; `EVERY` lets all go on, however they were held."""
        with self._lock:
            if name == EVERY:
                self._held.clear()
            self._held.pop(name, None)

    def fail(self, name: str, failing: Failing) -> None:
        """Let the storing of such snapshots fail."""
        with self._lock:
            self._failing[name] = failing

    def lose(self, operation: str, times: int) -> None:
        """Lose so many answers to the operation, once what it asks for is done."""
        with self._lock:
            self._lost[operation] = times

    def held_at(self, names: Iterable[str]) -> int | None:
        """At how many per cent a snapshot with these names is held; None if it is not."""
        with self._lock:
            return next((self._held[name] for name in names if name in self._held), None)

    def take_failure(self, names: Iterable[str]) -> str | None:
        """Why a snapshot with these names fails, this once; None if it does not."""
        with self._lock:
            name = next((name for name in names if name in self._failing), None)
            if name is None:
                return None
            failing = self._failing.pop(name)
            if failing.times > 1:
                self._failing[name] = Failing(failing.reason, failing.times - 1)
            return failing.reason

    def take_loss(self, operation: str) -> bool:
        """Whether an answer to the operation gets lost, this once."""
        with self._lock:
            left = self._lost.pop(operation, 0)
            if left > 1:
                self._lost[operation] = left - 1
            return left > 0
