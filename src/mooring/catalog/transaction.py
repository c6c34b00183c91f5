"""All rows, by noun, within one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from mooring.catalog.places import Places
from mooring.catalog.sharing.audit_lines import AuditLines
from mooring.catalog.sharing.hosts import Hosts
from mooring.catalog.sharing.join_secrets import JoinSecrets
from mooring.catalog.sharing.key_uses import KeyUses
from mooring.catalog.sharing.leads import Leads
from mooring.catalog.sharing.rounds import Rounds
from mooring.catalog.sharing.servers import Servers
from mooring.catalog.sharing.shared_secrets import SharedSecrets
from mooring.catalog.sharing.shared_settings import SharedSettings, Zones
from mooring.catalog.tables.answers import Answers
from mooring.catalog.tables.auto_failures import AutoFailures
from mooring.catalog.tables.auto_runs import AutoRuns
from mooring.catalog.tables.disks import Disks
from mooring.catalog.tables.export_records import ExportRecords
from mooring.catalog.tables.instance_snapshots import InstanceSnapshots
from mooring.catalog.tables.instances import Instances
from mooring.catalog.tables.jobs import Jobs
from mooring.catalog.tables.key_pairs import KeyPairs
from mooring.catalog.tables.names import Names
from mooring.catalog.tables.operations import Operations
from mooring.catalog.tables.snapshots import Snapshots
from mooring.catalog.tables.static_ips import StaticIps
from mooring.catalog.tables.tags import TagRows
from mooring.catalog.tables.vault_rows import VaultRows
from mooring.catalog.totals import Totals
from mooring.catalog.watching.room_samples import RoomSamples
from mooring.catalog.watching.root_looks import RootLooks
from mooring.catalog.watching.troubles import Troubles
from mooring.catalog.watching.vault_runs import VaultRuns
from mooring.model.automatic.health import AutoHealth
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.job_kind import JobKind

RowsT = TypeVar("RowsT")


class _Noun(Generic[RowsT]):
    """The rows of a noun, made when a transaction first asks for them: most touch few nouns."""

    def __init__(self, rows: Callable[[Connection], RowsT]) -> None:
        self._rows = rows

    def __set_name__(self, owner: type[Transaction], name: str) -> None:
        self._name = name

    def __get__(self, transaction: Transaction, owner: type[Transaction]) -> RowsT:
        made = transaction.__dict__[self._name] = self._rows(transaction.connection)
        return made


class Transaction:
    """All rows, by noun, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    names = _Noun(Names)
    tags = _Noun(TagRows)
    disks = _Noun(Disks)
    snapshots = _Noun(Snapshots)
    instances = _Noun(Instances)
    instance_snapshots = _Noun(InstanceSnapshots)
    export_records = _Noun(ExportRecords)
    static_ips = _Noun(StaticIps)
    key_pairs = _Noun(KeyPairs)
    operations = _Noun(Operations)
    jobs = _Noun(Jobs)
    auto_runs = _Noun(AutoRuns)
    auto_failures = _Noun(AutoFailures)
    answers = _Noun(Answers)
    vaults = _Noun(VaultRows)
    servers = _Noun(Servers)
    hosts = _Noun(Hosts)
    places = _Noun(Places)
    rounds = _Noun(Rounds)
    totals = _Noun(Totals)
    leads = _Noun(Leads)
    troubles = _Noun(Troubles)
    vault_runs = _Noun(VaultRuns)
    room_samples = _Noun(RoomSamples)
    shared_secrets = _Noun(SharedSecrets)
    join_secrets = _Noun(JoinSecrets)
    shared_settings = _Noun(SharedSettings)
    zones = _Noun(Zones)
    audit_lines = _Noun(AuditLines)
    key_uses = _Noun(KeyUses)
    root_looks = _Noun(RootLooks)

    @property
    def runnable(self) -> Sequence[JobKind]:
        """The kinds of the jobs that it has made fit to be run."""
        return self.jobs.runnable if "jobs" in self.__dict__ else ()

    @property
    def stirred(self) -> bool:
        """Whether an automatic snapshot may be due sooner than was known."""
        return "auto_runs" in self.__dict__ and self.auto_runs.stirred

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot of a disk or of an instance with that id."""
        return self.snapshots.by_id(snapshot_id) or self.instance_snapshots.by_id(snapshot_id)

    def automatic_of(self, resource_id: str) -> Sequence[Snapshot]:
        """The automatic snapshots of a disk or of an instance in any state, oldest first."""
        return [
            *self.snapshots.auto_of_disk(resource_id),
            *self.instance_snapshots.auto_of_instance(resource_id),
        ]

    def failed_automatic_of(self, resource_id: str) -> Sequence[Snapshot]:
        """The automatic snapshots of a disk or of an instance that could not be stored."""
        return [
            *self.snapshots.failed_of_disk(resource_id),
            *self.instance_snapshots.failed_of_instance(resource_id),
        ]

    def automatic_health(self, now_ms: int, limit: int) -> list[AutoHealth]:
        """How the automatic snapshots are of those that may be late, however many are wanted.

        These are the ones that are due, failed or are pending; not more than so many of each.
        """
        late = {one.resource_id for one in self.auto_runs.due(now_ms, limit=limit)}
        late |= set(self.auto_failures.bearers(limit))
        late |= set(sorted(self.snapshots.pending_resources())[:limit])
        return self.auto_failures.health(of=late)

    def enter(self, snapshot: Snapshot) -> None:
        """Record a snapshot of a disk or of an instance, with its parts."""
        if isinstance(snapshot, InstanceSnapshot):
            self.instance_snapshots.add(snapshot)
        else:
            self.snapshots.add(snapshot)
