"""How a server is put together."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from mooring.api.shared_audit import SharedAudit
from mooring.backend.backend import Backend
from mooring.backend.default_keys import DefaultKeys, SharedDefaultKeys
from mooring.backend.hosts import HostBook
from mooring.backend.import_places import ImportPlaces
from mooring.catalog.database import Catalog
from mooring.catalog.room import CatalogRoom
from mooring.config.settings import Settings
from mooring.engine.strays import strays
from mooring.engine.zones import Engines
from mooring.host.mount_points import MountPoints
from mooring.host.processes.lasting_process import kept_from_cleaning
from mooring.host.reserve import Reserve
from mooring.host.room import room_at
from mooring.jobs.automatic.timetable import Timetable
from mooring.jobs.fill_disk import regions_filling
from mooring.jobs.keep_catalog import CatalogKeeper, Describer
from mooring.jobs.running.runner import Runner
from mooring.jobs.schedule import Schedule, tasks
from mooring.jobs.watching.hosts import HostWatch
from mooring.jobs.watching.relay import RelayWatch
from mooring.jobs.watching.room import RoomWatch
from mooring.jobs.watching.zones import ZoneWatch
from mooring.model.ids import RandomIds
from mooring.model.paths import Paths
from mooring.model.resources.server import Server
from mooring.model.traffic import Traffic
from mooring.observe.audit import AuditLog
from mooring.service.credentials.keyring import Keyring
from mooring.service.credentials.shared_uses import SharedUses
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
from mooring.wiring.last_run import keep_run
from mooring.wiring.parts import USUAL, Parts
from mooring.wiring.region_vaults import vaults_of
from mooring.wiring.relay import check_certificates, relay
from mooring.wiring.server import Mooring
from mooring.wiring.snapshot_servers import snapshot_servers
from mooring.wiring.this_server import this_host, this_server_of
from mooring.wiring.vaults import replicas
from mooring.wiring.watches import Watches, ends


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
        keep_run(paths)
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
