"""What the monitors say of the cluster: whether it is well, and its room."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.host.room import Room
from mooring.model.clock import Clock
from mooring.model.errors import DiskFullError

_KEPT_SECONDS = 5.0
_FULL = ("OSD_FULL", "POOL_FULL")
_NEARLY = (
    "OSD_NEARFULL",
    "OSD_BACKFILLFULL",
    "POOL_NEARFULL",
    "POOL_BACKFILLFULL",
    "POOL_NEAR_FULL",  # of its quota
)


@dataclass(frozen=True, slots=True)
class Health:
    """How the cluster is: `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`, and the checks by code."""

    status: str
    checks: dict[str, str]
    free: int | None
    """Bytes that the pool can take, as far as a manager tells them."""
    size: int | None

    @property
    def full(self) -> str:
        """Why nothing can be written; empty if it can."""
        return "; ".join(text for code, text in self.checks.items() if code in _FULL)

    @property
    def nearly_full(self) -> str:
        """Why soon nothing can be written any more."""
        return "; ".join(text for code, text in self.checks.items() if code in _NEARLY)


class ClusterState:
    """Asks at most every few seconds."""

    def __init__(self, client: CephClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._lock = threading.Lock()
        self._known: tuple[float, Health] | None = None

    def health(self) -> Health:
        """How the cluster is. Raises EngineError."""
        with self._lock:
            now = self._clock.monotonic()
            if self._known is None or now - self._known[0] > _KEPT_SECONDS:
                self._known = now, self._ask()
            return self._known[1]

    def check_room(self, margin: int) -> None:
        """Raise DiskFullError if the cluster is full, or has less room than that."""
        if not margin:
            return
        health, place = self.health(), self._client.place
        problem = health.full
        if not problem and health.free is not None and health.size:
            room = Room(self._client.path, health.free, health.size)
            if not room.has(margin):
                problem = f"the pool {place.pool} has {room}"
        if problem:
            raise DiskFullError(
                f"no space in the Ceph cluster of {place}: {problem}. Delete snapshots or disks, "
                "or add OSDs. The setting room.margin_mib says how much is kept for disks in use"
            )

    def _ask(self) -> Health:
        found = self._client.ask("status")
        checks = {
            code: str(one["summary"]["message"])
            for code, one in found["health"].get("checks", {}).items()
        }
        pool = found["pool"]
        # Without a manager there are no figures, only zeros.
        known = bool(found["stats"].get("total_bytes"))
        free = int(pool.get("max_avail", 0)) if known and pool else None
        used = int(pool.get("stored", pool.get("bytes_used", 0))) if pool else 0
        size = None if free is None else free + used
        return Health(found["health"]["status"], checks, free, size)
