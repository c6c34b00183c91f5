"""The only place that names concrete engines, stores and databases."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.engine.interface import Engine
from mooring.engine.memory import MemoryEngine
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.engine import QemuEngine
from mooring.host.fuse_devices import FuseDevices
from mooring.host.interface import Devices
from mooring.host.memory_devices import MemoryDevices
from mooring.jobs.fill_disk import regions_filling
from mooring.jobs.procedure import Tools
from mooring.jobs.recover import recover
from mooring.jobs.runner import Observer, Runner, unobserved
from mooring.jobs.schedule import Schedule, tasks
from mooring.jobs.sources import Keeper
from mooring.jobs.table import PROCEDURES
from mooring.model.clock import Clock, SystemClock
from mooring.model.errors import ConfigurationError, ObjectNotFoundError, ServerRunningError
from mooring.model.ids import RandomIds
from mooring.model.paths import Paths, run_directory
from mooring.nbd.tls import server_context
from mooring.observe.audit import AuditLog
from mooring.quiesce.interface import Quiescer
from mooring.quiesce.memory import MemoryQuiescer
from mooring.quiesce.process import CommandPair, Limits, ProcessQuiescer
from mooring.service.backend import Backend
from mooring.service.freezing import freeze_one
from mooring.service.keyring import Keyring
from mooring.vault.layout import HEADER_NAME
from mooring.vault.replicate import Replica
from mooring.vault.served.interface import SnapshotServer
from mooring.vault.served.process import ServingProcess
from mooring.vault.store.interface import Store
from mooring.vault.store.place import is_bucket, open_place, read_secret
from mooring.vault.vault import Vault

log = structlog.get_logger("mooring.server")


@dataclass(slots=True)
class Mooring:
    """A whole server without its front door. Call `start`, and in the end `stop`."""

    settings: Settings
    paths: Paths
    keys: Keyring
    clock: Clock
    backend: Backend
    tools: Tools
    runner: Runner
    schedule: Schedule
    keeper: Keeper
    audit: AuditLog | None
    _lock: IO[str]

    def start(self) -> None:
        """Take up what an earlier server left, then let jobs run."""
        self.tools.catalog.migrate()
        for instance_id, problem in self.backend.quiescer.mend().items():
            log.warning("users held at rest cannot be let go", instance=instance_id, why=problem)
        if self.audit is not None:
            _open_audit(self.audit)
        recover(self.tools)
        self.schedule.forget_old_rhythms()
        self.runner.start()
        self.schedule.start()
        self.keeper.start()

    def stop(self) -> None:
        """Let go of everything; attached disks go on being served."""
        self.schedule.stop()
        self.keeper.stop()
        self.runner.stop()
        if self.keeper.started:
            self._end_servers()
        for engine in self.tools.engines.values():
            engine.close()
        self.backend.quiescer.close()
        self.tools.catalog.close()
        if self.audit is not None:
            self.audit.close()
        self._lock.close()

    def _end_servers(self) -> None:
        """End the servers of snapshots that nobody reads from."""
        filling = regions_filling(self.tools)
        for region, server in self.tools.servers.items():
            if region not in filling and not server.granted():
                server.end()


def build(settings: Settings, observer: Observer = unobserved) -> Mooring:
    """Put the server together. Raises ConfigurationError; ServerRunningError if one runs there."""
    data = settings.data_directory.absolute()
    paths = Paths(data, _run_directory(settings, data))
    paths.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(paths)
    try:
        return _build(settings, paths, observer, lock)
    except BaseException:
        lock.close()
        raise


def _build(settings: Settings, paths: Paths, observer: Observer, lock: IO[str]) -> Mooring:
    clock, ids = SystemClock(), RandomIds()
    keys = Keyring(paths.credentials, clock)
    catalog = Catalog(settings.catalog or f"sqlite:///{paths.catalog}")
    make_engine = _engine_maker(settings, paths, clock)
    engines = {
        zone: make_engine(zone) for region in settings.regions.values() for zone in region.zones
    }
    vaults = {name: _vault(settings, name, clock) for name in settings.regions}
    servers = _snapshot_servers(settings, paths, clock)
    tools = Tools(
        catalog=catalog,
        engines=engines,
        vaults=vaults,
        clock=clock,
        ids=ids,
        servers=servers,
        replicas=_replicas(settings),
        devices=_devices(settings, paths, clock),
        freeze=lambda disk, snapshot: freeze_one(backend, disk, snapshot),
        account_id=settings.account,
        max_pending_snapshots=settings.limits.pending_snapshots,
    )
    keeper = Keeper(servers, lambda: regions_filling(tools))
    runner = Runner(tools, PROCEDURES, bulk_threads=settings.limits.bulk_jobs, observer=observer)
    schedule = Schedule(
        tools,
        tasks(
            collect_minutes=settings.vault.collect_minutes,
            verify_hours=settings.vault.verify_hours,
            verify_percent=settings.vault.verify_percent,
            replicate_minutes=settings.vault.replicate_minutes,
            replicated=tools.replicas.keys(),
        ),
        settings.snapshots.rhythms,
    )
    backend = Backend(
        catalog=catalog,
        engines=engines,
        regions={name: region.zones for name, region in settings.regions.items()},
        clock=clock,
        ids=ids,
        account_id=settings.account,
        max_pending_snapshots=settings.limits.pending_snapshots,
        exports=_exports(settings, paths),
        servers=servers,
        vaults=vaults,
        quiescer=_quiescer(settings, paths, clock),
        devices=tools.devices,
    )
    audit = _audit_log(settings, paths)
    return Mooring(
        settings, paths, keys, clock, backend, tools, runner, schedule, keeper, audit, lock
    )


def _audit_log(settings: Settings, paths: Paths) -> AuditLog | None:
    if not settings.audit.enabled:
        return None
    file = Path(settings.audit.file).expanduser() if settings.audit.file else paths.audit
    return AuditLog(file.absolute(), sync=settings.audit.sync)


def _open_audit(audit: AuditLog) -> None:
    """See at the start, rather than at the first change, that the log can be written."""
    try:
        audit.open()
    except OSError as error:
        raise ConfigurationError(
            f"the audit log {audit.path} cannot be written: {error.strerror}. "
            "The setting audit.file says where it is."
        ) from error


def _exports(settings: Settings, paths: Paths) -> Path:
    return Path(settings.exports).expanduser().absolute() if settings.exports else paths.exports


def _run_directory(settings: Settings, data: Path) -> Path:
    """The run directory, made for this user alone if it is not under data."""
    if settings.engine.run:
        return Path(settings.engine.run).expanduser()
    zones = [zone for region in settings.regions.values() for zone in region.zones]
    run = run_directory(data, zones, os.getuid())
    if run.parent != data:
        run.mkdir(mode=0o700, exist_ok=True)
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ConfigurationError(
                f"{run}, where the sockets of {data} would go, is somebody else's: "
                "name a short directory of your own as engine.run in the settings"
            )
    return run


def _engine_maker(settings: Settings, paths: Paths, clock: Clock) -> Callable[[str], Engine]:
    if settings.engine.kind == "memory":
        return lambda zone: MemoryEngine()
    daemons = DaemonSettings(
        fill_bytes_per_second=settings.engine.fill_mib_per_second * 1024 * 1024,
        merge_bytes_per_second=settings.engine.merge_mib_per_second * 1024 * 1024,
        answer_seconds=settings.engine.answer_seconds,
    )
    return lambda zone: QemuEngine(paths.engine(zone), paths.engine_run(zone), clock, daemons)


def _devices(settings: Settings, paths: Paths, clock: Clock) -> Devices:
    if settings.engine.kind == "memory":
        return MemoryDevices()
    return FuseDevices(paths.devices(), clock)


def _quiescer(settings: Settings, paths: Paths, clock: Clock) -> Quiescer:
    if settings.engine.kind == "memory":
        return MemoryQuiescer()
    limits = Limits(
        settings.quiesce.freeze_seconds,
        settings.quiesce.hold_seconds,
        settings.quiesce.agent_directories,
    )
    commands = {
        name: CommandPair(one.freeze, one.thaw)
        for name, one in settings.instances.items()
        if one.freeze or one.thaw
    }
    spared = [paths.data, paths.run, Path("/"), Path(tempfile.gettempdir())]
    return ProcessQuiescer(paths.holds(), clock, limits, commands, spared)


def open_store(settings: Settings, region: str) -> Store | None:
    """Open what is under a region's vault, for what needs no key; None if no vault is there yet."""
    place = vault_place(settings, region)
    if not is_bucket(place) and not Path(place).is_dir():
        return None
    store = open_place(place, s3_options(settings))
    if is_bucket(place):
        try:
            store.get(HEADER_NAME, 0, 1)
        except ObjectNotFoundError:
            return None
    return store


def open_vault(settings: Settings, region: str) -> Vault | None:
    """Open a region's vault beside whatever server there is; None if none was made yet."""
    store = open_store(settings, region)
    if store is None:
        return None
    return open_vault_in(store, settings, region, SystemClock(), create=False, index=None)


def vault_place(settings: Settings, region: str) -> str:
    """Where a region's vault is: the path of a directory, or the address of a bucket."""
    place = settings.regions[region].vault
    return full_place(place) or str(Paths(settings.data_directory.absolute()).vault(region))


def replica_place(settings: Settings, region: str) -> str:
    """Where the copy of a region's vault is; empty if none is to be kept."""
    return full_place(settings.regions[region].replica)


def full_place(place: str) -> str:
    """The address of a bucket as it is; the path of a directory in full; empty stays empty."""
    if not place or is_bucket(place):
        return place
    return str(Path(place).expanduser().absolute())


def _replicas(settings: Settings) -> dict[str, Replica]:
    follow = settings.vault.replica_deletions == "follow"
    return {
        region: Replica(place=place, options=s3_options(settings), delete=follow)
        for region in settings.regions
        if (place := replica_place(settings, region))
    }


def s3_options(settings: Settings) -> dict[str, str]:
    """The settings of the service that holds the buckets, as S3Store takes them."""
    chosen = {"endpoint": settings.s3.endpoint, "region": settings.s3.region}
    return {name: value for name, value in chosen.items() if value}


def _vault(settings: Settings, region: str, clock: Clock) -> Vault:
    store = open_place(vault_place(settings, region), s3_options(settings))
    index = Paths(settings.data_directory.absolute()).indexes
    return open_vault_in(store, settings, region, clock, create=True, index=index)


def open_vault_in(
    store: Store, settings: Settings, region: str, clock: Clock, *, create: bool, index: Path | None
) -> Vault:
    """Open the vault in a store, or a copy of it, with the key of the region."""
    file = settings.regions[region].key_file
    return Vault.create_or_open(
        store,
        clock,
        level=settings.vault.level,
        threads=settings.vault.threads or os.cpu_count() or 1,
        create=create,
        secret=read_secret(file) if file else None,
        index=index,
        index_bytes=settings.vault.index_mib * 1024 * 1024,
        nice=settings.vault.nice,
        bytes_per_second=settings.vault.upload_mib_per_second * 1024 * 1024,
        consolidate_frames=settings.vault.consolidate_frames,
    )


def _snapshot_servers(settings: Settings, paths: Paths, clock: Clock) -> dict[str, SnapshotServer]:
    if settings.engine.kind == "memory":
        return {}
    servers: dict[str, SnapshotServer] = {}
    _check_certificates(settings)
    for number, region in enumerate(settings.regions):
        folder = paths.snapshots_run(region).absolute()
        command = [sys.executable, "-m", "mooring.admin.main", "serve-snapshots"]
        command += ["--vault", vault_place(settings, region)]
        for name, value in s3_options(settings).items():
            command += ["--s3", f"{name}={value}"]
        command += ["--run-dir", str(folder)]
        if key_file := settings.regions[region].key_file:
            command += ["--key-file", str(Path(key_file).expanduser().absolute())]
        command += _tcp_options(settings, number)
        servers[region] = ServingProcess(folder, command, clock, settings.nbd.name)
    return servers


def _check_certificates(settings: Settings) -> None:
    """Raise ConfigurationError now rather than when somebody wants to read a snapshot."""
    nbd = settings.nbd
    if nbd.host:
        files = [nbd.certificate, nbd.key, nbd.client_authority]
        certificate, key, authority = (Path(one).expanduser() if one else None for one in files)
        assert certificate is not None
        server_context(certificate, key, authority)


def _tcp_options(settings: Settings, number: int) -> list[str]:
    """How the process that serves the snapshots of the region of that number is told of TCP."""
    nbd = settings.nbd
    if not nbd.host:
        return []
    options = ["--tcp", nbd.host, "--port", str(nbd.port + number if nbd.port else 0)]
    for name, file in (
        ("--certificate", nbd.certificate),
        ("--key", nbd.key),
        ("--client-authority", nbd.client_authority),
    ):
        if file:
            options += [name, str(Path(file).expanduser().absolute())]
    return options


def _lock(paths: Paths) -> IO[str]:
    """Hold the data directory, until the file is closed or the process ends."""
    file = paths.lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ServerRunningError(
            f"another server (process {holder}) runs on {paths.data}: stop it, "
            "or name another data directory with --data"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
