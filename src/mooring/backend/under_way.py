"""Which requests of this server are just being done, between what they reserve and confirm."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class UnderWay:
    """Knows requests by what their jobs are waited for by. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: Counter[str] = Counter()

    @contextmanager
    def noted(self, *ids: str) -> Iterator[None]:
        """Let nobody settle them meanwhile as requests that nobody does any more."""
        with self._lock:
            self._ids.update(ids)
        try:
            yield
        finally:
            with self._lock:
                self._ids.subtract(ids)
                self._ids += Counter()  # only those that are left

    def ids(self) -> set[str]:
        """What is being done now."""
        with self._lock:
            return set(self._ids)
