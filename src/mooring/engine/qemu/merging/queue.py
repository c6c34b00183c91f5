"""The queue of disks whose layers are to be merged."""

from __future__ import annotations

import threading

from mooring.model.clock import Clock


class DueDisks:
    """A queue for several threads, of which no two get the same disk at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._active: set[str] = set()
        self._closed = False

    def add(self, disk_id: str, after: float = 0.0) -> None:
        """Let the disk be due `after` seconds from now at the latest."""
        with self._changed:
            at = self._clock.monotonic() + after
            self._due[disk_id] = min(at, self._due.get(disk_id, at))
            self._changed.notify_all()

    def next(self) -> str | None:
        """Wait for a disk that is due; None once this is closed. Hand it back with `done`."""
        with self._changed:
            while not self._closed:
                now = self._clock.monotonic()
                ready = [d for d, at in self._due.items() if at <= now and d not in self._active]
                if ready:
                    disk_id = min(ready, key=self._due.__getitem__)
                    del self._due[disk_id]
                    self._active.add(disk_id)
                    return disk_id
                idle = [at - now for d, at in self._due.items() if d not in self._active]
                self._changed.wait(max(0.001, min(idle)) if idle else None)
        return None

    def done(self, disk_id: str) -> None:
        """The disk may be due again."""
        with self._changed:
            self._active.discard(disk_id)
            self._changed.notify_all()

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is due or under way; False when `timeout` seconds are over."""
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while self._due or self._active:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self) -> None:
        """Give out no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
