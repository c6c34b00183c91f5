"""What this server knows of the hosts of its catalog."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from mooring.catalog.database import Catalog
from mooring.model.clock import Clock, SystemClock
from mooring.model.resources.host import SeenHost

KNOWN_SECONDS = 1.0
"""How long what was read of the hosts is good: each list of disks asks for them."""


class HostBook:
    """The hosts, as of a second ago at most; none where the catalog is a file, for one server."""

    def __init__(self, catalog: Catalog | None = None, clock: Clock | None = None) -> None:
        """Without a catalog it knows of none."""
        self._catalog, self._clock = catalog, clock or SystemClock()
        self._lock = threading.Lock()
        self._known: Mapping[str, SeenHost] = {}
        self._until = 0.0
        self._ahead_ms = 0

    def all(self) -> Sequence[SeenHost]:
        """All of them, by name. Raises what the catalog raises."""
        return list(self._look().values())

    def find(self, host_id: str) -> SeenHost | None:
        return self._look().get(host_id)

    def name(self, host_id: str) -> str | None:
        """The host's name; None where nobody has to tell hosts apart."""
        known = self._look()
        found = known.get(host_id)
        return None if found is None or len(known) < 2 else found.host.name

    def problem(self, host_id: str) -> str | None:
        """Why nobody knows how the disks of the host are; None if they are as recorded."""
        found = self._look().get(host_id)
        return None if found is None else found.problem

    def now_ms(self) -> int:
        """The time by the catalog's clock, which servers have in common, as far as is known."""
        self._look()
        return self._clock.now_ms() + self._ahead_ms

    def forget(self) -> None:
        """Read anew when asked next: something was changed."""
        with self._lock:
            self._until = 0.0

    def _look(self) -> Mapping[str, SeenHost]:
        if self._catalog is None or not self._catalog.is_for_many:
            return {}
        now = self._clock.monotonic()
        with self._lock:
            if now < self._until:
                return self._known
        with self._catalog.read() as transaction:
            found = {one.host.id: one for one in transaction.hosts.all(self._clock.now_ms())}
        with self._lock:
            self._known, self._until = found, now + KNOWN_SECONDS
            for one in found.values():
                self._ahead_ms = one.read_ms - self._clock.now_ms()
                break
            return found
