"""A whole server in memory, without its front door."""

from __future__ import annotations

import itertools
import shutil
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from mooring.backend.backend import Backend
from mooring.backend.default_keys import DefaultKeys
from mooring.backend.import_places import ImportPlaces
from mooring.catalog.connections import MEMORY
from mooring.catalog.database import Catalog
from mooring.engine.interface import Export
from mooring.engine.memory import MemoryEngine
from mooring.host.devices.memory_devices import MemoryDevices
from mooring.host.rooms import Rooms
from mooring.jobs.recover import recover
from mooring.jobs.running.execution import Observer, unobserved
from mooring.jobs.running.runner import Runner
from mooring.jobs.table import PROCEDURES
from mooring.model.access import UNBOUND, Access
from mooring.model.clock import ManualClock
from mooring.model.ids import SequentialIds
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import Arguments
from mooring.model.traffic import Traffic
from mooring.protocol import service_model
from mooring.protocol.serialize import serialize_result
from mooring.quiesce.memory import MemoryQuiescer
from mooring.service.context import Context
from mooring.service.credentials.keys import open_keys
from mooring.service.own.table import own_handlers
from mooring.service.table import handlers
from mooring.vault.format.layout import SEGMENTS
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.faults import InterruptedStore

REGION, ZONE = "us-east-2", "us-east-2a"
REGIONS = {REGION: [ZONE, "us-east-2b"], "us-west-2": ["us-west-2a"]}
MODEL = service_model.load()


class World:
    """Ask with `call`; nothing happens after a reply until `settle`."""

    def __init__(
        self,
        observer: Observer = unobserved,
        image_files: Path = Path("/nowhere/image_files"),
        imports: Path = Path("/nowhere/imports"),
        default_keys: Path | None = None,
        rooms: Rooms = Rooms({}, 0),  # noqa: B008 - it does not change
        catalog: Catalog | None = None,
    ) -> None:
        folder = Path(mkdtemp(prefix="m-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.clock = ManualClock()
        self.catalog = catalog or Catalog(MEMORY)
        # Most tests leave that to whoever collects the world.
        weakref.finalize(self, self.catalog.close)
        self.catalog.migrate()
        self.engines = {zone: MemoryEngine() for zones in REGIONS.values() for zone in zones}
        self.stores = {region: MemoryStore() for region in REGIONS}
        self.ways = {
            region: InterruptedStore(store, lambda *_: None)
            for region, store in self.stores.items()
        }
        """How the vaults come to their stores: what happens to them on the way."""
        vaults = {
            region: Vault.create_or_open(way, self.clock, VaultOptions(threads=1))
            for region, way in self.ways.items()
        }
        ids = SequentialIds()
        self.quiescer = MemoryQuiescer()
        self.devices = MemoryDevices()
        self.backend = Backend(
            catalog=self.catalog,
            engines=self.engines,
            vaults=vaults,
            regions=REGIONS,
            clock=self.clock,
            ids=ids,
            account_id="000000000000",
            max_pending_snapshots=5,
            rooms=rooms,
            quiescer=self.quiescer,
            devices=self.devices,
            image_files=image_files,
            imports=ImportPlaces(imports, self.clock, ids),
            default_keys=DefaultKeys(default_keys or folder / "default-key-pairs"),
            credentials=folder / "credentials",
            audit_file=folder / "audit.jsonl",
        )
        open_keys(folder / "credentials")
        self.traffic = Traffic()
        self.runner = Runner(self.backend, PROCEDURES, observer=observer, traffic=self.traffic)
        self._handlers = handlers(self.backend)
        self._own_handlers = own_handlers(self.backend)
        self._count = itertools.count()

    def restart(self, catalog: Catalog) -> None:
        """Go on with another catalog, as a server that is started on it."""
        self.catalog = catalog
        weakref.finalize(self, catalog.close)
        self.backend = replace(self.backend, catalog=catalog)
        self.runner = Runner(self.backend, PROCEDURES, traffic=self.traffic)
        self._handlers = handlers(self.backend)
        self._own_handlers = own_handlers(self.backend)
        recover(self.backend)

    @property
    def engine(self) -> MemoryEngine:
        return self.engines[ZONE]

    @property
    def vault(self) -> Vault:
        return self.backend.vaults[REGION]

    def damage(self, region: str = REGION) -> None:
        """Change a byte of the first frame of each segment."""
        store = self.stores[region]
        for name in list(store.names(SEGMENTS)):
            damaged = bytearray(store.get(name))
            damaged[20] ^= 1
            store.put(name, damaged)

    def call(
        self,
        operation: str,
        *,
        region: str = REGION,
        caller: str = "AKIATEST",
        invocation: str | None = None,
        **params: Any,
    ) -> Mapping[str, Any]:
        """One request; its result also has to serialize. `access` is what the caller may do."""
        context = self._context(region, caller, invocation, params.pop("access", UNBOUND))
        result = self._handlers[operation](context, params)
        serialize_result(MODEL, operation, result)
        return result

    def act(
        self,
        request: str,
        *,
        region: str = REGION,
        caller: str = "AKIATEST",
        invocation: str | None = None,
        **params: Any,
    ) -> Mapping[str, Any]:
        """The same for one of Mooring's own requests."""
        context = self._context(region, caller, invocation, params.pop("access", UNBOUND))
        return self._own_handlers[request](context, params)

    def _context(self, region: str, caller: str, invocation: str | None, access: Access) -> Context:
        return Context(
            region=region,
            caller=caller,
            request_id=f"request-{next(self._count)}",
            invocation_id=invocation,
            received_ms=self.clock.now_ms(),
            access=access,
        )

    def settle(self, seconds: float = 60.0) -> None:
        """Run all jobs, also those that wait to be tried again within so many seconds."""
        self.runner.drain()
        end = self.clock.now_ms() + round(seconds * 1000)
        for _ in range(round(seconds)):
            with self.catalog.read() as transaction:
                if all(job.not_before_ms > end for job in transaction.jobs.all()):
                    return
            self.clock.advance(1.0)
            self.runner.drain()

    def close(self) -> None:
        self.catalog.close()

    # --- a client of the disks

    def write(self, disk_id: str, offset: int, data: bytes) -> None:
        with self._served(disk_id):
            self.engine.write(disk_id, offset, data)

    def zero(self, disk_id: str, offset: int, length: int) -> None:
        with self._served(disk_id):
            self.engine.zero(disk_id, offset, length)

    def read(self, disk_id: str, offset: int, length: int) -> bytes:
        with self._served(disk_id):
            return self.engine.read(disk_id, offset, length)

    @contextmanager
    def _served(self, disk_id: str) -> Iterator[None]:
        """For a moment, unless the disk is attached anyway."""
        self.engine.attach(f"client of {disk_id}", Export(disk_id, disk_id))
        yield
        self.engine.detach(f"client of {disk_id}", disk_id)

    # --- what tests need again and again

    def disk(self, name: str = "data", size: int = 8, **params: Any) -> str:
        """Make a disk, ready for use; returns its id."""
        self.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=size, **params)
        self.runner.drain()
        return self.disk_id(name)

    def disk_id(self, name: str) -> str:
        with self.catalog.read() as transaction:
            disk = transaction.disks.by_name(REGION, name)
        assert disk is not None
        return disk.id

    def instance(
        self, name: str = "web", zone: str = ZONE, *, blueprint: str = "external", **more: Any
    ) -> None:
        self.call(
            "CreateInstances",
            instanceNames=[name],
            availabilityZone=zone,
            blueprintId=blueprint,
            bundleId="external",
            **more,
        )
        self.runner.drain()

    def attach(self, disk: str = "data", instance: str = "web", path: str = "/dev/xvdf") -> None:
        self.call("AttachDisk", diskName=disk, instanceName=instance, diskPath=path)
        self.runner.drain()

    def snapshot(self, name: str, disk: str = "data", **more: Any) -> Mapping[str, Any]:
        return self.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=name, **more)

    def state(self, snapshot: str) -> Mapping[str, Any]:
        found = self.call("GetDiskSnapshot", diskSnapshotName=snapshot)["diskSnapshot"]
        return dict(found)

    def instance_snapshot(self, name: str, instance: str = "web") -> Mapping[str, Any]:
        return self.call("CreateInstanceSnapshot", instanceName=instance, instanceSnapshotName=name)

    def instance_state(self, snapshot: str) -> Mapping[str, Any]:
        """An instance snapshot as it is shown."""
        found = self.call("GetInstanceSnapshot", instanceSnapshotName=snapshot)
        return dict(found["instanceSnapshot"])

    def job(self, arguments: Arguments, server: str, key: str = "") -> Job:
        """A job of that server, to be recorded; without a key in a line of its own."""
        job_id = self.backend.ids.new_id()
        return Job(
            id=job_id,
            key=key or job_id,
            region=REGION,
            zone=ZONE,
            server=server,
            created_ms=self.clock.now_ms(),
            arguments=arguments,
        )

    def operations(self, resource: str) -> list[Mapping[str, Any]]:
        """The resource's operations, newest first."""
        return list(self.call("GetOperationsForResource", resourceName=resource)["operations"])
