"""Settles requests that could not be confirmed, while the server goes on."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.observe.loop import Loop
from mooring.taking import unconfirmed

LOOK_SECONDS = 10.0
"""How often it looks; a request that is left is settled at the second look that finds it."""


class HeldWatch:
    """A thread that looks for held jobs of this host that no request of this server is about.

    The catalog was away when the request was to be confirmed, or taken back. Everything after them
    in line waits: the disk's next snapshots would not be stored before the next start.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._seen: set[str] = set()
        self._loop = Loop("held-watch", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Look no more. May be called without `start`."""
        self._loop.stop(1.0)

    def look(self) -> None:
        """Look once: what was there before, too, is settled as at a start."""
        jobs = unconfirmed.held(self._backend, *unconfirmed.KINDS)
        # A request that was recorded just now is about to say that it is under way.
        left = {job.waited_for for job in jobs} - self._backend.under_way.ids()
        if again := left & self._seen:
            unconfirmed.settle(self._backend, again)
        self._seen = left

    def _round(self) -> float:
        self.look()
        return LOOK_SECONDS
