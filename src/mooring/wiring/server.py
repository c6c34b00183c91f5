"""The server put together: its parts, its start and its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from mooring.api.shared_audit import SharedAudit
from mooring.backend.backend import Backend
from mooring.backend.default_keys import DefaultKeys, SharedDefaultKeys
from mooring.backend.hosts import HostBook
from mooring.backend.import_places import ImportPlaces
from mooring.catalog.database import Catalog
from mooring.catalog.room import CatalogRoom
from mooring.config.settings import Region, Settings
from mooring.engine.strays import strays
from mooring.engine.zones import Engines
from mooring.host.mount_points import MountPoints
from mooring.host.processes.lasting_process import kept_from_cleaning
from mooring.host.reserve import Reserve
from mooring.host.room import room_at
from mooring.jobs.automatic.timetable import Timetable
from mooring.jobs.fill_disk import regions_filling
from mooring.jobs.forget_disks import forget_disks
from mooring.jobs.keep_catalog import CatalogKeeper, Describer
from mooring.jobs.recover import recover
from mooring.jobs.running.runner import Runner
from mooring.jobs.schedule import Schedule, tasks
from mooring.jobs.watching.claim import claim
from mooring.jobs.watching.hosts import HostWatch
from mooring.jobs.watching.relay import RelayWatch
from mooring.jobs.watching.room import RoomWatch
from mooring.jobs.watching.zones import ZoneWatch
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, StoreError
from mooring.model.ids import RandomIds
from mooring.model.paths import Paths
from mooring.model.resources.server import Server
from mooring.model.traffic import Traffic
from mooring.observe.audit import AuditLog
from mooring.service.absence import tell_absent
from mooring.service.credentials.keyring import Keyring
from mooring.service.credentials.shared_uses import SharedUses
from mooring.vault.memory_vaults import MemoryVaults
from mooring.vault.region_vaults import RegionVaults
from mooring.vault.served.keeper import Keeper
from mooring.wiring.catalog_copies import catalog_copies, catalog_file, open_catalog
from mooring.wiring.catalogs import check_shares
from mooring.wiring.cluster import Cluster
from mooring.wiring.data_directory import (
    hold_directory,
    leave_run_directory,
    make_data_directory,
    make_run_directory,
    run_place,
    server_id,
)
from mooring.wiring.engines import devices, engine_maker, quiescer
from mooring.wiring.fencing import host_fencing
from mooring.wiring.file_systems import (
    AUDIT_LOG,
    audit_file,
    catalog_reserve,
    check_mounted,
    file_systems,
    image_files_directory,
    no_vault,
)
from mooring.wiring.parts import USUAL, Parts
from mooring.wiring.region_vaults import region_opener, vaults_of
from mooring.wiring.relay import check_certificates, relay
from mooring.wiring.snapshot_servers import snapshot_servers, withdraw
from mooring.wiring.this_server import this_host, this_server_of
from mooring.wiring.vaults import replicas
from mooring.wiring.watches import Watches, ends

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


def build_server(settings: Settings, parts: Parts = USUAL) -> Mooring:
    """Put the server together. Raises ConfigurationError; ServerRunningError if one runs there."""
    data = settings.data_directory.absolute()
    make_data_directory(data)
    paths = Paths(data, run_place(settings, data))
    reserve = Reserve(paths.reserve)
    reserve.make_way()
    with ExitStack() as opened:
        opened.callback(hold_directory(paths).close)
        check_shares(settings, paths)
        make_run_directory(settings, data)
        opened.callback(leave_run_directory, settings, data)
        opened.enter_context(kept_from_cleaning(paths.run))
        return _build(settings, paths, parts, reserve, opened)


def _build(
    settings: Settings, paths: Paths, parts: Parts, reserve: Reserve, opened: ExitStack
) -> Mooring:
    clock, ids = parts.clock, RandomIds()
    check_mounted(file_systems(settings, paths))
    audit = _audit_log(settings, paths)
    if audit is not None:
        opened.callback(audit.close)
    file, beside = catalog_file(settings, paths), catalog_reserve(settings, paths, reserve)
    room = None if file is None or beside is None else CatalogRoom(file, beside)
    catalog = open_catalog(settings, paths, clock, room)
    opened.callback(catalog.close)
    keys = Keyring(paths.credentials, clock, makes=not catalog.is_for_many)
    uses = SharedUses(catalog, keys, clock)
    this_server = this_server_of(settings, server_id(paths, ids))
    zones = [zone for region in settings.regions.values() for zone in region.zones]
    catalog.hold(this_server.id)
    cluster = Cluster(catalog, settings, paths, clock, this_server, uses)
    settings = cluster.shared_settings()
    vaults = vaults_of(settings, catalog, clock)
    opened.callback(vaults.close)  # writes the index of what can be shared
    rooms = file_systems(settings, paths, vaults.is_writable if parts.reserves else no_vault)
    users = quiescer(settings, paths, clock)
    opened.callback(users.close)
    make_engine = engine_maker(settings, paths, clock, catalog, this_server)
    engines = Engines(elsewhere=cluster.zones.elsewhere)
    opened.callback(engines.close)
    for zone in zones:
        engines.open(zone, make_engine)
    servers = snapshot_servers(settings, paths, clock, vaults)
    check_certificates(settings)
    backend = Backend(
        catalog=catalog,
        engines=engines,
        vaults=vaults,
        regions=cluster.zones.regions,
        elsewhere=cluster.zones.elsewhere,
        clock=clock,
        ids=ids,
        account_id=settings.account,
        max_pending_snapshots=settings.limits.pending_snapshots,
        this_server=this_server,
        disks_of_pending=settings.snapshots.disks_of_pending,
        rooms=rooms,
        quiescer=users,
        devices=devices(settings, paths, clock),
        image_files=image_files_directory(settings, paths),
        imports=ImportPlaces(paths.imports(), clock, ids),
        default_keys=_default_keys(catalog, paths),
        servers=servers,
        relay=relay(settings, paths, clock),
        replicas=replicas(settings),
        credentials=paths.credentials,
        cluster_key=paths.cluster_key,
        audit_file=None if audit is None else audit.path,
        keys_used=uses.newest,
        ends=partial(ends, settings, keys),
        hosts=HostBook(catalog, clock),
    )
    shared_audit = _shared_audit(settings, catalog, this_server)
    keeper = Keeper(servers, lambda: regions_filling(backend))
    catalog_keeper = CatalogKeeper(
        Describer(catalog, engines, host=backend.host),
        catalog_copies(settings, paths, clock),
        catalog_file(settings, paths),
        settings.catalog_copies.hours,
        clock,
    )
    traffic = Traffic()
    runner = Runner(
        backend,
        parts.procedures,
        bulk_threads=settings.limits.bulk_jobs,
        observer=parts.observer,
        traffic=traffic,
    )
    schedule = Schedule(
        backend,
        tasks(
            collect_minutes=settings.vault.collect_minutes,
            verify_hours=settings.vault.verify_hours,
            verify_percent=settings.vault.verify_percent,
            replicate_minutes=settings.vault.replicate_minutes,
            replicated=backend.replicas.keys(),
        ),
        settings.operations.keep_days,
        settings.audit.keep_days if catalog.is_for_many else 0,
    )
    timetable = Timetable(backend, settings.snapshots.rhythms, settings.snapshots.instance_rhythms)
    keep = [reserve.take, *(one.take for one in rooms.reserves.values())]
    if beside is not None and beside is not reserve:
        keep.insert(0, beside.take)
    if room is not None:
        keep.insert(0, room.keep)
    if not parts.reserves:
        keep.clear()
    return Mooring(
        settings=settings,
        paths=paths,
        keys=keys,
        clock=clock,
        backend=backend,
        traffic=traffic,
        runner=runner,
        schedule=schedule,
        timetable=timetable,
        keeper=keeper,
        catalog_keeper=catalog_keeper,
        relay_watch=RelayWatch(backend),
        watches=Watches(settings, backend, host_fencing(settings, backend, audit, shared_audit)),
        host_watch=HostWatch(
            backend,
            this_host(settings, this_server, engines),
            lambda: room_at(paths.zones),
            lambda: strays(paths.run, engines),
        ),
        zone_watch=ZoneWatch(backend, engines, make_engine),
        reserve=reserve,
        room_watch=RoomWatch(rooms, keep),
        audit=audit,
        shared_audit=shared_audit,
        cluster=cluster,
        _opened=opened.pop_all(),
    )


def _audit_log(settings: Settings, paths: Paths) -> AuditLog | None:
    if not settings.audit.enabled:
        return None
    file, mounts = audit_file(settings, paths), MountPoints(paths.mount_points)
    return AuditLog(
        file,
        sync=settings.audit.sync,
        size=settings.audit.mebibytes * 1024 * 1024,
        kept=settings.audit.files,
        away=lambda: mounts.problem(file, AUDIT_LOG),
    )


def _default_keys(catalog: Catalog, paths: Paths) -> DefaultKeys:
    if not catalog.is_for_many:
        return DefaultKeys(paths.default_keys)
    return SharedDefaultKeys(paths.default_keys, catalog, paths.cluster_key)


def _shared_audit(settings: Settings, catalog: Catalog, this: Server) -> SharedAudit | None:
    if not settings.audit.enabled or not catalog.is_for_many:
        return None
    return SharedAudit(catalog, this.name)


def _open_audit(audit: AuditLog) -> None:
    """See at the start, rather than at the first change, that the log can be written."""
    try:
        audit.open()
    except OSError as error:
        raise ConfigurationError(
            f"the audit log {audit.path} cannot be written: {error.strerror}. "
            "The setting audit.file says where it is."
        ) from error
