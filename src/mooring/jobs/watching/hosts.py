"""Says that this host lives, and notices when it was fenced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace

import structlog

from mooring.backend.backend import Backend
from mooring.backend.left_behind import left_behind
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.catalog.transaction import Transaction
from mooring.engine.strays import Stray
from mooring.host.room import Room
from mooring.model.errors import ConfigurationError, EngineError, FencedError, MooringError
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import SILENT_MS, Host, HostState, SeenHost
from mooring.observe.loop import Loop
from mooring.taking.serving import withdraw

BEAT_SECONDS = SILENT_MS / 3000 - 0.1

log = structlog.get_logger("mooring.hosts")


class HostWatch:
    """A thread that writes down, by the database's clock, that this host lives, and its room.

    The generation of the host's row grows with each start, and with fencing: so this one notices
    that it was fenced, when it stood still, or could not reach the database. What was restored
    elsewhere meanwhile it then serves no more; with the rest it is a host as before. Unless it was
    shut out of layers that it shares: then it stays fenced until its server is started again. The
    generation also grows when another host takes the name of this one, which was silent: it is no
    host as long as that one is up.
    """

    def __init__(
        self,
        backend: Backend,
        host: Host,
        room: Callable[[], Room],
        strays: Callable[[], Sequence[Stray]],
    ) -> None:
        """`host` has no zones if it is a server without disks; `room` is that for its disks.

        `strays` are the daemons of zones that it serves no more.
        """
        self._backend, self._host, self._room, self._strays = backend, host, room, strays
        self._generation = 0  # of a server that is no host
        self._told = self._fenced = self._lost = False
        self._loop = Loop("host-watch", self._round)

    def begin(self) -> None:
        """Enter the host, before it serves anything. Raises ConfigurationError."""
        host, backend = self._host, self._backend
        with backend.catalog.write() as transaction:
            now, hosts = backend.clock.now_ms(), transaction.hosts
            known = hosts.held(now)
            before = next((one.host for one in known if one.host.id == host.id), None)
            if not host.zones and before is None:
                return
            for one in known:
                gone = one.host.id != host.id and one.silent_ms > FORGOTTEN_MS
                if gone and not hosts.has_any(one.host.id):
                    hosts.forget(one.host.id)
                    continue
                if one.host.name == host.name and one.host.id != host.id:
                    _check_namesake(one)
                    if one.is_silent:
                        hosts.replace(one.host.id)
                        log.warning("a silent host of the same name is replaced", id=one.host.id)
            self._begin(transaction, before)
        if self._generation:
            self._beat()

    def _begin(self, transaction: Transaction, before: Host | None) -> None:
        """Say what it serves now, by its row of `before`, if it has one.

        A host without zones is a host as long as disks are placed on it: somebody may have to fence
        it. One without either has ended, and keeps its row for a while, because a request may be
        putting something on it right now, by the zones that it had.
        """
        host, hosts, now = self._host, transaction.hosts, self._backend.clock.now_ms()
        has_any = hosts.has_any(host.id)
        if before is not None and has_any:
            shared = {*before.shared_zones, *host.shared_zones}
            left = shared.difference(host.zones)
            host = replace(host, shared_zones=[*host.shared_zones, *sorted(left)])
        self._generation = hosts.begin(host, now)
        if not host.zones and not has_any:
            hosts.end(host.id, self._generation, now)
            self._generation = 0

    def start(self) -> None:
        """Say from now on that it lives; a file has one server, and nobody to tell."""
        if self._generation and self._backend.catalog.is_for_many:
            self._loop.start()

    def stop(self) -> None:
        """Say that it ended in order, if it was begun."""
        self._loop.stop()
        if not self._generation:
            return
        try:
            with self._backend.catalog.write() as transaction:
                now = self._backend.clock.now_ms()
                transaction.hosts.end(self._host.id, self._generation, now)
        except CATALOG_ERRORS as error:
            log.warning("that this host ended is not written down", why=type(error).__name__)

    def look(self) -> None:
        """Say once that it lives. Raises the catalog's errors."""
        if not self._generation or self._beat():
            return
        known, self._fenced = self._lost, self._is_shut_out()
        if not known:
            log.error(self._why(), host=self._host.name)
            self._lost = True
        self._backend.hosts.forget()
        try:
            if not self._fenced:
                self.begin()
                self._lost = False
        finally:
            # Whether it is a host again, or its name is another's by now: two writers are worse.
            withdraw_moved(self._backend)
            self._end_strays()
        if not known:
            tell_left_behind(self._backend)

    def _why(self) -> str:
        """Why its row is of another generation."""
        with self._backend.catalog.read() as transaction:
            seen = transaction.hosts.by_id(self._host.id, self._backend.clock.now_ms())
        if seen is not None and seen.state is HostState.UP:
            return "another host of this name was started while this one was silent"
        return "this host was fenced: what was restored elsewhere is served here no more"

    def _is_shut_out(self) -> bool:
        """Whether it can do nothing with the layers that it shares before it is started again."""
        for engine in list(self._backend.engines.values()):
            with suppress(EngineError):
                try:
                    if engine.is_shut_out(self._host.id):
                        return True
                except FencedError:
                    return True
        return False

    def _beat(self) -> bool:
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
            self._end_strays()
            tell_left_behind(self._backend)
            self._told = True
        self.look()
        return BEAT_SECONDS

    def _end_strays(self) -> None:
        """End the daemons of dropped zones whose instances are another host's by now.

        Who uses their disks would write to what nobody reads again.
        """
        for stray in self._strays():
            with closing(stray):
                with self._backend.catalog.read() as transaction:
                    instance = transaction.instances.by_id(stray.instance_id)
                if instance is None or instance.host in ("", self._backend.host):
                    continue
                stray.end()
            log.warning(
                "the disks of an instance that was moved are served here no more",
                instance=instance.name,
                zone=stray.zone,
            )


def _check_namesake(other: SeenHost) -> None:
    """Raise ConfigurationError if another host of that name is up."""
    if other.is_up:
        raise ConfigurationError(
            f"the catalog has another host that is called {other.host.name}, at "
            f"{other.host.address}: give this one a name of its own with the setting name, or stop "
            "that one"
        )


def tell_left_behind(backend: Backend) -> None:
    """Say in the log what is not served here any more; `mooringd doctor` says it, too."""
    for one in left_behind(backend):
        log.warning("what lies here of before a disk was moved is not served", why=str(one))


def withdraw_moved(backend: Backend) -> list[str]:
    """Serve no more what is another host's by now, or detached, or deleted; returns those disks."""
    moved: list[str] = []
    for engine in list(backend.engines.values()):
        for instance_id, disk_ids in engine.served().items():
            with backend.catalog.read() as transaction:
                found = {one.id: one for one in transaction.disks.among(disk_ids)}
            for disk_id in disk_ids:
                disk = found.get(disk_id)
                if disk is not None and _is_at(backend, disk, instance_id):
                    continue
                name = disk_id if disk is None else disk.name
                moved.append(name)
                try:
                    withdraw(backend, [disk_id])
                    engine.detach(instance_id, disk_id, force=True)
                except MooringError as error:
                    why = str(error)
                    log.error("a disk that was moved is still served", disk=name, why=why)
                else:
                    was = "moved" if disk is not None and disk.host != backend.host else "given up"
                    log.warning(f"a disk that was {was} is served here no more", disk=name)
    return moved


def _is_at(backend: Backend, disk: Disk, instance_id: str) -> bool:
    """Whether the disk is this host's, and attached to that instance."""
    return disk.host in ("", backend.host) and disk.instance_id == instance_id
