"""A whole server: its parts, its start and its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import structlog

from mooring.api.shared_audit import SharedAudit
from mooring.backend.backend import Backend
from mooring.config.settings import Region, Settings
from mooring.engine.zones import Engines
from mooring.host.reserve import Reserve
from mooring.jobs.automatic.timetable import Timetable
from mooring.jobs.fill_disk import regions_filling
from mooring.jobs.forget_disks import forget_disks
from mooring.jobs.keep_catalog import CatalogKeeper
from mooring.jobs.recover import recover
from mooring.jobs.running.runner import Runner
from mooring.jobs.schedule import Schedule
from mooring.jobs.watching.claim import claim
from mooring.jobs.watching.hosts import HostWatch
from mooring.jobs.watching.relay import RelayWatch
from mooring.jobs.watching.room import RoomWatch
from mooring.jobs.watching.zones import ZoneWatch
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.paths import Paths
from mooring.model.resources.server import Server
from mooring.model.traffic import Traffic
from mooring.observe.audit import AuditLog
from mooring.service.absence import tell_absent
from mooring.service.credentials.keyring import Keyring
from mooring.vault.memory_vaults import MemoryVaults
from mooring.vault.region_vaults import RegionVaults
from mooring.vault.served.keeper import Keeper
from mooring.wiring.cluster import Cluster
from mooring.wiring.engines import engine_maker
from mooring.wiring.region_vaults import region_opener
from mooring.wiring.snapshot_servers import snapshot_servers, withdraw
from mooring.wiring.watches import Watches

log = structlog.get_logger("mooring.server")


class _Running(Protocol):
    """What continues by itself until it is stopped, also when it was not started in full."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(slots=True)
class Mooring:
    """A whole server without its front door. Call `start`, and in the end `stop`.

    What is opened or started is entered in `_opened` where that happens, and closed in reverse.
    """

    settings: Settings
    paths: Paths
    keys: Keyring
    clock: Clock
    backend: Backend
    traffic: Traffic
    runner: Runner
    schedule: Schedule
    timetable: Timetable
    keeper: Keeper
    reserve: Reserve
    room_watch: RoomWatch
    catalog_keeper: CatalogKeeper
    relay_watch: RelayWatch
    watches: Watches
    host_watch: HostWatch
    zone_watch: ZoneWatch
    audit: AuditLog | None
    shared_audit: SharedAudit | None
    cluster: Cluster
    _opened: ExitStack

    def start(self) -> None:
        """Take up what an earlier server left, then let jobs run."""
        self.backend.catalog.migrate()
        self.cluster.begin(self.keys.refresh)
        self._begin(self.room_watch)
        for instance_id, problem in self.backend.quiescer.mend().items():
            log.warning("users held at rest cannot be thawed", instance=instance_id, why=problem)
        if self.audit is not None:
            _open_audit(self.audit)
        tell_absent(self.backend)
        # Keys may have gone while no server ran.
        withdraw(self.settings, self.clock, lambda key_id: key_id not in self.keys.ids())
        self.keys.tell(
            lambda ended: withdraw(self.settings, self.clock, lambda key_id: key_id in ended)
        )
        self._open_vaults()
        self._opened.callback(self.host_watch.stop)
        self.host_watch.begin()
        if self.settings.engine.kind == "memory":
            forget_disks(self.backend)
        claim(self.backend)
        recover(self.backend)
        self.timetable.forget_old_rhythms()
        self._opened.callback(self._end_servers)
        # The keeper of the catalog ends after those who change it.
        for one in (
            self.cluster,
            self.catalog_keeper,
            self.runner,
            self.schedule,
            self.timetable,
            self.keeper,
            self.relay_watch,
            self.watches,
            self.host_watch,
            self.zone_watch,
        ):
            self._begin(one)

    def stop(self) -> None:
        """Close everything; attached disks continue to be served.

        What cannot be closed keeps nothing else from it, and is raised in the end.
        """
        self._opened.close()

    def add_region(self, name: str, zones: Sequence[str]) -> None:
        """Serve another region from now on, for which there must be no vault in a bucket."""
        settings, backend = self.settings, self.backend
        assert isinstance(backend.vaults, RegionVaults | MemoryVaults)
        assert isinstance(backend.engines, Engines)
        assert isinstance(backend.servers, dict)
        assert isinstance(backend.regions, dict)
        settings.regions[name] = Region(zones=list(zones))
        make_engine = engine_maker(
            settings, self.paths, self.clock, backend.catalog, backend.this_server
        )
        for zone in zones:
            backend.engines.open(zone, make_engine)
        if isinstance(backend.vaults, MemoryVaults):
            backend.vaults.add(name)
        else:
            backend.vaults.add(name, region_opener(settings, name, backend.catalog, self.clock))
        servers = snapshot_servers(settings, self.paths, self.clock, backend.vaults, name)
        backend.servers.update(servers)
        # In the end: from now on it is found.
        backend.regions[name] = list(zones)

    def look_again(self) -> None:
        """Let jobs and automatic snapshots see what time it is."""
        self.runner.wake()
        self.timetable.wake()

    def _begin(self, one: _Running) -> None:
        self._opened.callback(one.stop)
        one.start()

    def _open_vaults(self) -> None:
        """Open the vaults that are there; raises what is wrong with one for good."""
        if isinstance(self.backend.vaults, MemoryVaults):
            return  # none is there
        for region in self.backend.vaults:
            try:
                _ = self.backend.vaults[region]
            except StoreError as error:
                # One that is away keeps nobody from starting: all else continues without it. But
                # beside others, which reach it, a server without disks would only hold up its jobs.
                others = [] if self.backend.engines else self.others()
                if others:
                    raise ConfigurationError(
                        f"{error}. The server {others[0].name} uses the catalog, too: name the "
                        "vault that both can reach"
                    ) from error
        self.schedule.vaults.look()

    def others(self) -> list[Server]:
        """Other servers of the catalog that have not ended in order."""
        with self.backend.catalog.read() as transaction:
            return self.cluster.others(transaction)

    def _end_servers(self) -> None:
        """End the servers of snapshots that nobody reads from; let go of the others."""
        filling = regions_filling(self.backend)
        for region, server in self.backend.servers.items():
            server.release()
            if region in filling:
                log.info(
                    "snapshots continue to be served: disks are filled from them", region=region
                )
            elif server.granted():
                log.info("snapshots continue to be served: they may be read", region=region)
            else:
                server.end()


def _open_audit(audit: AuditLog) -> None:
    """See at the start, rather than at the first change, that the log can be written."""
    try:
        audit.open()
    except OSError as error:
        raise ConfigurationError(
            f"the audit log {audit.path} cannot be written: {error.strerror}. "
            "The setting audit.file says where it is."
        ) from error
