"""Forgets operations that ended long ago, and old lines of the shared audit log."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.automatic.rhythm import DAY_MS

BATCH = 500
"""Rows looked at, and deleted at most, in one transaction: requests go in between."""

BATCHES = 20
"""Batches in one round."""

AGAIN_SECONDS = 3600.0
"""When it is looked again from the beginning after all has been looked at."""


class OldOperations:
    """Walks through the operations in the order of their making, a little in each round.

    One that has not ended stays, however old it is: somebody waits for it.
    """

    def __init__(self, backend: Backend, keep_days: float) -> None:
        """`keep_days`: since their end; 0 keeps all."""
        self._backend = backend
        self._keep_ms = round(keep_days * DAY_MS)
        self._reached = 0
        self._next_walk = backend.clock.monotonic()

    def look(self) -> None:
        """Forget what is old, of some of them; the next call continues."""
        clock = self._backend.clock
        if not self._keep_ms or clock.monotonic() < self._next_walk:
            return
        for _ in range(BATCHES):
            if not self._forget_some():
                self._reached = 0
                self._next_walk = clock.monotonic() + AGAIN_SECONDS
                return

    def _forget_some(self) -> bool:
        """Whether there may be more."""
        before = self._backend.clock.now_ms() - self._keep_ms
        with self._backend.catalog.read() as transaction:
            found = transaction.operations.old(self._reached, BATCH, before)
        if found.seqs:
            # What a power cut brings back is found again.
            with self._backend.catalog.write(durable=False) as transaction:
                transaction.operations.forget(found.seqs)
        self._reached = found.last
        return found.more


class OldAuditLines:
    """Forgets the oldest, some in each round until none is left that is too old."""

    def __init__(self, backend: Backend, keep_days: float) -> None:
        """`keep_days`: since the request came; 0 keeps all."""
        self._backend = backend
        self._keep_ms = round(keep_days * DAY_MS)
        self._next_look = backend.clock.monotonic()

    def look(self) -> None:
        clock = self._backend.clock
        if not self._keep_ms or clock.monotonic() < self._next_look:
            return
        before = clock.now_ms() - self._keep_ms
        with self._backend.catalog.write(durable=False) as transaction:
            forgotten = transaction.audit_lines.forget(before, BATCH)
        if forgotten < BATCH:
            self._next_look = clock.monotonic() + AGAIN_SECONDS
