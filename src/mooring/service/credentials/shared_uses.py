"""When keys were last used, at any of the servers that share a catalog."""

from __future__ import annotations

from collections.abc import Mapping

from mooring.catalog.database import Catalog
from mooring.model.clock import Clock
from mooring.service.credentials.keyring import Keyring

ENTER_SECONDS = 60.0
"""How often the catalog is told of a key at most, and how late others may know of its last use."""


class SharedUses:
    """Requests note uses in memory only; what is new there is entered now and then."""

    def __init__(self, catalog: Catalog, keyring: Keyring, clock: Clock) -> None:
        self._catalog, self._keyring, self._clock = catalog, keyring, clock
        self._entered: dict[str, tuple[int, float]] = {}
        """Of each key the use that was entered, and when that was, by the monotonic clock."""

    def enter(self) -> None:
        """Tell the catalog of uses that it does not know. For one thread at a time."""
        now, known = self._clock.monotonic(), self._keyring.ids()
        due = {
            key_id: used_ms
            for key_id, used_ms in dict(self._keyring.used).items()
            if key_id in known and self._is_due(key_id, used_ms, now)
        }
        if not due:
            return
        # Lost with a power cut, it is entered again at the next use.
        with self._catalog.write(durable=False) as transaction:
            transaction.key_uses.enter(due, known)
        self._entered |= {key_id: (used_ms, now) for key_id, used_ms in due.items()}

    def newest(self) -> Mapping[str, int]:
        """When each key was last used: here, or elsewhere as far as the catalog knows."""
        used = dict(self._keyring.used)
        if not self._catalog.is_for_many:
            return used
        with self._catalog.read() as transaction:
            entered = transaction.key_uses.all()
        return {
            key_id: max(used.get(key_id, 0), entered.get(key_id, 0))
            for key_id in used.keys() | entered.keys()
        }

    def _is_due(self, key_id: str, used_ms: int, now: float) -> bool:
        if key_id not in self._entered:
            return True
        before_ms, at = self._entered[key_id]
        return used_ms != before_ms and now - at >= ENTER_SECONDS
