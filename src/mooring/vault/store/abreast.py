"""Requests to a store side by side: each of them mostly waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

AT_ONCE = 32
"""At 30 ms a request, a thousand a second; services take far more from one client."""

A = TypeVar("A")
B = TypeVar("B")


class Abreast:
    """Does work in threads of its own, which must not wait for more of it: all could be waiting."""

    def __init__(self, begin: Callable[[], object] = lambda: None, at_once: int = AT_ONCE) -> None:
        """`begin` is called in each thread, which comes only when there is work for it."""
        self._threads = ThreadPoolExecutor(at_once, "vault-requests", begin)
        self._ahead = 2 * at_once

    def map(self, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """Yield the results in the order of the items, of which few are taken ahead.

        When an error ends it, or the caller does, nothing of it is under way any more.
        """
        queue: deque[Future[B]] = deque()
        try:
            for item in items:
                queue.append(self._threads.submit(work, item))
                if len(queue) >= self._ahead:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for waiting in queue:
                waiting.cancel()
            wait(queue)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)
