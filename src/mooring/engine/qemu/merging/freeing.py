"""Giving back the room of removed layers, beside the merges.

What random writes have left in pieces a file system may free slowly: 1 ms a piece was seen on
ext4 that discards what it frees. A file that is removed but open keeps its room until then.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import ExitStack

from mooring.observe.loop import Loop

MOST_WAITING = 32
"""Removals that wait; after that merges wait too, or layers would use up the room."""


class Freeing:
    """A thread that closes removed files, which frees them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[ExitStack] = deque()
        self._busy = self._closing = False
        self._loop = Loop("merge-freeing", self._round, wake=self._wake)
        self._loop.start()

    def take(self, files: ExitStack) -> None:
        """Close them some time; waits if there are many already."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MOST_WAITING or self._closing)
            if not self._closing:
                self._waiting.append(files)
                self._changed.notify_all()
                return
        files.close()

    def settle(self, seconds: float) -> bool:
        """Wait until all are closed; False when so many seconds are over."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def close(self) -> None:
        """Close all that are left."""
        self._loop.stop()
        for files in self._waiting:
            files.close()

    def _wake(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _round(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closing)
            if self._closing:
                return
            files = self._waiting.popleft()
            self._busy = True
            self._changed.notify_all()
        try:
            files.close()
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
