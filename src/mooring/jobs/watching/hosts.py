"""Says that this host lives, and notices when it was fenced."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from mooring.backend.backend import Backend
from mooring.backend.left_behind import left_behind
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.host.room import Room
from mooring.model.errors import ConfigurationError, MooringError
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import SILENT_MS, Host
from mooring.observe.loop import Loop
from mooring.taking.serving import withdraw

BEAT_SECONDS = SILENT_MS / 3000 - 0.1

log = structlog.get_logger("mooring.hosts")


class HostWatch:
    """A thread that writes down, by the database's clock, that this host lives, and its room.

    The generation of the host's row grows with each start, and with fencing: so this one notices
    that it was fenced, when it stood still, or could not reach the database. What was restored
    elsewhere meanwhile it then serves no more; with the rest it is a host as before.
    """

    def __init__(
        self,
        backend: Backend,
        host: Host | None,
        room: Callable[[], Room],
    ) -> None:
        """`host` is None for a server without disks; `room` is that for its disks."""
        self._backend, self._host, self._room = backend, host, room
        self._generation = 0
        self._told = False
        self._loop = Loop("host-watch", self._round)

    def begin(self) -> None:
        """Enter the host, before it serves anything. Raises ConfigurationError."""
        host, backend = self._host, self._backend
        if host is None:
            return
        with backend.catalog.write() as transaction:
            now, hosts = backend.clock.now_ms(), transaction.hosts
            for one in hosts.all(now):
                gone = one.host.id != host.id and one.silent_ms > FORGOTTEN_MS
                if gone and not hosts.count_disks(one.host.id) + hosts.count_instances(one.host.id):
                    hosts.forget(one.host.id)
                if one.host.name == host.name and one.host.id != host.id and one.is_up:
                    raise ConfigurationError(
                        f"the catalog has another host that is called {host.name}, at "
                        f"{one.host.address}: give this one a name of its own with the setting "
                        "name"
                    )
            self._generation = hosts.begin(host, now)
        self._beat()

    def start(self) -> None:
        """Say from now on that it lives; a file has one server, and nobody to tell."""
        if self._host is not None and self._backend.catalog.is_for_many:
            self._loop.start()

    def stop(self) -> None:
        """Say that it ended in order, if it was begun."""
        self._loop.stop()
        if self._host is None or not self._generation:
            return
        try:
            with self._backend.catalog.write() as transaction:
                now = self._backend.clock.now_ms()
                transaction.hosts.end(self._host.id, self._generation, now)
        except CATALOG_ERRORS as error:
            log.warning("that this host ended is not written down", why=type(error).__name__)

    def look(self) -> None:
        """Say once that it lives. Raises the catalog's errors."""
        if self._host is None or self._beat():
            return
        log.error(
            "this host was fenced: what was restored elsewhere is served here no more",
            host=self._host.name,
        )
        self._backend.hosts.forget()
        self.begin()
        withdraw_moved(self._backend)
        tell_left_behind(self._backend)

    def _beat(self) -> bool:
        assert self._host is not None
        room = self._room()
        with self._backend.catalog.write(durable=False) as transaction:
            return transaction.hosts.beat(
                self._host.id,
                self._generation,
                self._backend.clock.now_ms(),
                capacity_bytes=room.size,
                free_bytes=room.free,
            )

    def _round(self) -> float:
        if not self._told:
            tell_left_behind(self._backend)
            self._told = True
        self.look()
        return BEAT_SECONDS


def tell_left_behind(backend: Backend) -> None:
    """Say in the log what is not served here any more; `mooringd doctor` says it, too."""
    for one in left_behind(backend):
        log.warning("what lies here of before a disk was moved is not served", why=str(one))


def withdraw_moved(backend: Backend) -> list[Disk]:
    """Serve no more what is another host's by now; returns those disks."""
    moved: list[Disk] = []
    for engine in list(backend.engines.values()):
        for instance_id, disk_ids in engine.served().items():
            with backend.catalog.read() as transaction:
                disks = transaction.disks.among(disk_ids)
            for disk in disks:
                if disk.host in ("", backend.host):
                    continue
                moved.append(disk)
                try:
                    withdraw(backend, [disk.id])
                    engine.detach(instance_id, disk.id, force=True)
                except MooringError as error:
                    why = str(error)
                    log.error("a disk that was moved is still served", disk=disk.name, why=why)
                else:
                    log.warning("a disk that was moved is served here no more", disk=disk.name)
    return moved
