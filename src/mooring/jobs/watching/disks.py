"""Looks at this server's disks, some at a time, and knows which are not well."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from mooring.backend.backend import Backend
from mooring.engine.interface import DiskHealth
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.trouble import Trouble, TroubleKind
from mooring.observe import alarms
from mooring.observe.loop import Loop

PAGE = 100
"""Disks looked at between two pauses."""

PAUSE_SECONDS = 1.0
ROUND_SECONDS = 10.0
"""A round begins no sooner than so long after the one before."""

SILENCE_SECONDS = 1.0
"""Whoever took longer to answer for one disk is not asked for its others in that round."""


class DiskWatch:
    """A thread that goes round all disks: 10,000 in two minutes, few of them every ten seconds."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._troubles: dict[str, Trouble] = {}
        self._seen: set[str] = set()
        self._silent: dict[str, DiskHealth] = {}
        self._place: tuple[int, int] = (0, 0)
        self._next_round = 0.0
        self._loop = Loop("disk-watch", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Look no more. A storage daemon that hangs does not hold up the end."""
        self._loop.stop(1.0)

    def troubles(self) -> list[Trouble]:
        """A sentence for each disk that was not well when it was looked at."""
        with self._lock:
            return list(self._troubles.values())

    def look(self) -> bool:
        """Look at the next disks; whether that was the end of a round."""
        zones = sorted(self._backend.engines)
        number, after = self._place
        if number >= len(zones):
            self._end_round()
            return True
        with self._backend.catalog.read() as transaction:
            disks, more = transaction.disks.in_zone(zones[number], after, PAGE)
        for disk in disks:
            if self._backend.has(disk):
                self._look_at(disk)
        self._place = (number, more) if more is not None else (number + 1, 0)
        if self._place[0] >= len(zones):
            self._end_round()
            return True
        return False

    def _round(self) -> float:
        began = self._backend.clock.monotonic()
        if self._place == (0, 0):
            self._next_round = began + ROUND_SECONDS
        if not self.look():
            return PAUSE_SECONDS
        return max(PAUSE_SECONDS, self._next_round - self._backend.clock.monotonic())

    def _look_at(self, disk: Disk) -> None:
        health = self._health(disk)
        self._seen.add(disk.id)
        with self._lock:
            if health.ok:
                self._troubles.pop(disk.id, None)
                return
            self._troubles[disk.id] = Trouble(
                kind=TroubleKind.DISK_NOT_WELL,
                text=f"disk {disk.name} in {disk.zone}: {health.problem}",
                region=disk.region,
                resource=disk.name,
            )

    def _health(self, disk: Disk) -> DiskHealth:
        if disk.state is DiskState.ERROR:
            return DiskHealth(ok=False, problem="could not be made; delete it with delete-disk")
        if disk.state is DiskState.PENDING:
            return DiskHealth(ok=True)
        known = self._silent.get(disk.instance_id or "")
        if known is not None:
            return known
        clock = self._backend.clock
        began = clock.monotonic()
        health = self._backend.engines[disk.zone].health(disk.id)
        slow = clock.monotonic() - began > SILENCE_SECONDS
        if slow and not health.ok and disk.instance_id is not None:
            self._silent[disk.instance_id] = health
        return health

    def _end_round(self) -> None:
        with self._lock:
            for gone in self._troubles.keys() - self._seen:
                del self._troubles[gone]
            unwell = list(self._troubles.values())
        self._seen, self._silent, self._place = set(), {}, (0, 0)
        alarms.disks_not_well(_counts(self._backend.regions, unwell))


def _counts(regions: Iterable[str], unwell: Sequence[Trouble]) -> dict[str, int]:
    """How many are not well, by region; also where none is."""
    found = dict.fromkeys(regions, 0)
    for one in unwell:
        found[one.region] = found.get(one.region, 0) + 1
    return found
