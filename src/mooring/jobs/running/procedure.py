"""What a procedure is: steps that can be killed and repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mooring.catalog.database import Catalog, Transaction
from mooring.engine.interface import Engine
from mooring.host.interface import Devices
from mooring.host.rooms import Rooms
from mooring.model.clock import Clock
from mooring.model.errors import PostponedError, ZoneAbsentError
from mooring.model.ids import Ids, support_code
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job, JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.vault.served.interface import NoServer, SnapshotServer
from mooring.vault.vault import Replica, Vault

ABSENT_SECONDS = 60.0
"""When a job looks again whose zone or region is not in the settings."""

Change = Callable[[Transaction], None]
"""What a step changes in the catalog, in the transaction that records it as done."""


Freezer = Callable[[Sequence[Disk], Sequence[DiskSnapshot]], Change]
"""Fixes disks' content at one instant for a snapshot of each, their users at rest if that is
wished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What jobs work with: `engines` by zone; by region `vaults`, `servers` of snapshots, and
    `replicas`: where a copy of the vault is kept.
    """

    catalog: Catalog
    engines: Mapping[str, Engine]
    vaults: Mapping[str, Vault]
    clock: Clock
    ids: Ids
    freeze: Freezer
    rooms: Rooms
    devices: Devices
    servers: Mapping[str, SnapshotServer] = field(default_factory=dict)
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    account_id: str = "000000000000"
    max_pending_snapshots: int = 5

    def support_code(self, prefix: str) -> str:
        """A support code as the service makes them, for example for the prefix `snap`."""
        return support_code(self.ids, self.account_id, prefix)

    def server(self, region: str) -> SnapshotServer:
        return self.servers.get(region, NoServer())


@dataclass(frozen=True, slots=True)
class Work:
    """One run of one job."""

    job: Job
    tools: Tools

    @property
    def catalog(self) -> Catalog:
        return self.tools.catalog

    @property
    def engine(self) -> Engine:
        """The engine of the zone that the job names; the job waits while there is none."""
        zone = self.job.arguments["zone"]
        try:
            return self.tools.engines[zone]
        except ZoneAbsentError as error:
            raise PostponedError(str(error), ABSENT_SECONDS) from None

    @property
    def vault(self) -> Vault:
        """The vault of the job's region; the job waits while there is none."""
        region = self.job.region
        if region not in self.tools.vaults:
            raise PostponedError(f"the region {region} is not in the settings", ABSENT_SECONDS)
        return self.tools.vaults[region]

    def argument(self, name: str) -> str:
        return self.job.arguments[name]


def nothing(_work: Work) -> None:
    """The undo of a step whose effect needs none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    `do` may be killed at any point and called again; it returns what to change in the
    catalog once it is done. `undo` takes back what `do` did, wholly or in part; it too may be
    repeated.
    """

    name: str
    do: Callable[[Work], Change | None]
    undo: Callable[[Work], None] = nothing


@dataclass(frozen=True, slots=True)
class Procedure:
    """The steps of one kind of job, and what the catalog says when they failed."""

    kind: JobKind
    steps: Sequence[Step]
    failed: Callable[[Transaction, Job], None]
