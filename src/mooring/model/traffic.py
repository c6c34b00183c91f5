"""How many requests are under way, for jobs that yield to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Traffic:
    """Counts requests that are worked on, or wait for a thread. For use from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One more for as long as this lasts."""
        with self._changed:
            self._requests += 1
        try:
            yield
        finally:
            with self._changed:
                self._requests -= 1
                if not self._requests:
                    self._changed.notify_all()

    def give_way(self, seconds: float) -> None:
        """Return when there is no request, but after so long at the latest."""
        with self._changed:
            self._changed.wait_for(lambda: not self._requests, seconds)
