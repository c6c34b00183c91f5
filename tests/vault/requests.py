"""A store that counts the requests which it would cost in a bucket."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mooring.vault.store.interface import Store
from tests.vault.faults import InterruptedStore


class RequestStore(InterruptedStore):
    """Counts operations, and how many were under way at once. `latency` is called in each."""

    def __init__(self, inner: Store, latency: Callable[[str, str], object]) -> None:
        super().__init__(inner, self._request)
        self.counts: Counter[str] = Counter()
        self.most_at_once = 0
        self._latency = latency
        self._under_way = 0
        self._lock = threading.Lock()

    def allocated(self, name: str) -> int:
        self.before("allocated", name)
        return super().allocated(name)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Forget what was counted before."""
        self.counts.clear()
        self.most_at_once = 0
        yield

    def _request(self, operation: str, name: str) -> None:
        if operation in ("upload", "barrier"):
            # In a bucket there is nothing to ask for.
            return
        with self._lock:
            self.counts[operation] += 1
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            self._latency(operation, name)
        finally:
            with self._lock:
                self._under_way -= 1
