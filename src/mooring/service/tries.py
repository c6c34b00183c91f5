"""Tries of one call: a second one waits until the first has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mooring.service.context import Context


@dataclass(slots=True)
class _UnderWay:
    """How many tries of a call are here, and which one is done now."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    tries: int = 0


class Tries:
    """For all threads of a server.

    A client that got no answer in time asks again while its first try may be under way yet. If
    both were done at once, the second would find the name taken, or the disk in use, by the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], _UnderWay] = {}

    @contextmanager
    def alone(self, context: Context) -> Iterator[None]:
        """Wait until no other try of the call is under way here."""
        if context.invocation_id is None:
            yield
            return
        key = context.caller, context.invocation_id
        with self._lock:
            call = self._calls.setdefault(key, _UnderWay())
            call.tries += 1
        try:
            with call.lock:
                yield
        finally:
            with self._lock:
                call.tries -= 1
                if not call.tries:
                    del self._calls[key]
