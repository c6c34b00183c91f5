"""What overviews ask of the rows: how many, and the newest of each disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, case, exists, func, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.job_rows import job_of
from mooring.catalog.tables.operations import operation_of
from mooring.model.operation import Operation, OperationStatus
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.snapshot import Lost, SnapshotState

_disks, _instances = schema.disks, schema.instances
_snapshots, _jobs, _operations = schema.disk_snapshots, schema.jobs, schema.operations
_wholes = schema.instance_snapshots

_DISKS = select(
    _disks.c.region,
    func.count().label("count"),
    func.sum(_disks.c.size_gb).label("size_gb"),
).group_by(_disks.c.region)
_INSTANCES = select(_instances.c.region, func.count().label("count")).group_by(_instances.c.region)
_SNAPSHOTS = select(_snapshots.c.region, func.count().label("count")).group_by(_snapshots.c.region)
_PENDING = (
    select(
        _snapshots.c.region,
        func.count().label("count"),
        func.min(_snapshots.c.created_ms).label("oldest_ms"),
    )
    .where(_snapshots.c.state == SnapshotState.PENDING)
    .group_by(_snapshots.c.region)
)
_newest = (
    select(_snapshots.c.created_ms)
    .where(
        _snapshots.c.disk_id == _disks.c.id,
        _snapshots.c.state == SnapshotState.COMPLETED,
        _snapshots.c.content_id.is_(None),
    )
    .order_by(_snapshots.c.seq.desc())
    .limit(1)
    .correlate(_disks)
    .scalar_subquery()
)
_NEWEST = select(_disks.c.id, _newest.label("newest_ms")).where(
    _disks.c.id.in_(bindparam("ids", expanding=True, type_=Text))
)
_later = _snapshots.alias("later")
_FAILED_SNAPSHOTS = (
    select(
        _snapshots.c.region,
        _snapshots.c.name,
        _snapshots.c.disk_name,
        _wholes.c.name.label("whole_name"),
    )
    .outerjoin(_wholes, _wholes.c.id == _snapshots.c.part_of)
    .where(
        _snapshots.c.state == SnapshotState.ERROR,
        _snapshots.c.lost.is_(None),
        # Those of automatic ones are kept, and told, by themselves.
        _snapshots.c.auto.is_(None),
        _wholes.c.auto.is_(None),
        ~exists().where(
            _later.c.disk_id == _snapshots.c.disk_id,
            # A copy that failed is not replaced by what is in another region.
            _later.c.region == _snapshots.c.region,
            _later.c.state == SnapshotState.COMPLETED,
            _later.c.seq > _snapshots.c.seq,
        ),
    )
    .order_by(_snapshots.c.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)
_MISSING = (
    select(_snapshots.c.region, func.count().label("count"))
    .where(_snapshots.c.lost == Lost.MISSING)
    .group_by(_snapshots.c.region)
)
_latest = (
    select(_operations)
    .order_by(_operations.c.seq.desc())
    .limit(bindparam("among", type_=Integer))
    .subquery()
)
_FAILED = (
    select(_latest)
    .where(
        _latest.c.status == OperationStatus.FAILED,
        _latest.c.changed_ms >= bindparam("since_ms", type_=BigInteger),
    )
    .order_by(_latest.c.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)
_runs = case((_jobs.c.lease_until_ms > 0, 1), else_=0)
_COUNTED = select(func.count().label("all"), func.sum(_runs).label("running")).where(
    _jobs.c.not_before_ms != HELD_MS
)
_RUNNING = (
    select(_jobs)
    .where(_jobs.c.lease_until_ms > 0)
    .order_by(_jobs.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
_STORED = (
    select(
        _snapshots.c.disk_id,
        func.max(_snapshots.c.disk_name).label("disk_name"),
        func.count().label("snapshots"),
        func.coalesce(func.sum(_snapshots.c.stored_bytes), 0).label("stored"),
        func.coalesce(func.sum(_snapshots.c.changed_bytes), 0).label("changed"),
        func.max(_snapshots.c.created_ms).label("newest_ms"),
    )
    .where(
        _snapshots.c.region == bindparam("region", type_=Text),
        _snapshots.c.state == SnapshotState.COMPLETED,
    )
    .group_by(_snapshots.c.disk_id)
)


@dataclass(frozen=True, slots=True)
class StoredOfDisk:
    """What the completed snapshots of a disk, which may be gone, stored when they were taken."""

    disk_id: str
    disk_name: str
    snapshots: int
    stored: int
    changed: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class RegionTotals:
    """What a region has. Of its pending snapshots the oldest was begun at `oldest_pending_ms`."""

    disks: int = 0
    disks_gb: int = 0
    instances: int = 0
    snapshots: int = 0
    pending: int = 0
    oldest_pending_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FailedSnapshot:
    """A snapshot that somebody asked for and that could not be stored, the newest of its disk."""

    region: str
    name: str
    disk: str


@dataclass(frozen=True, slots=True)
class RunningJobs:
    """Some of the jobs that run, oldest first; how many run, and how many wait."""

    some: Sequence[Job]
    running: int
    waiting: int


class Totals:
    """Questions about all rows, whose answers are short."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stored_by_disk(self, region: str) -> list[StoredOfDisk]:
        """What the snapshots of each disk of a region stored; who stored most comes first."""
        rows = self._connection.execute(_STORED, {"region": region})
        found = [
            StoredOfDisk(
                row.disk_id,
                row.disk_name,
                row.snapshots,
                int(row.stored),
                int(row.changed),
                row.newest_ms,
            )
            for row in rows
        ]
        return sorted(found, key=lambda one: one.stored, reverse=True)

    def by_region(self) -> dict[str, RegionTotals]:
        """What each region has; one that has nothing is missing."""
        found: dict[str, dict[str, Any]] = {}
        for row in self._connection.execute(_DISKS):
            found.setdefault(row.region, {}).update(disks=row[1], disks_gb=int(row.size_gb))
        for row in self._connection.execute(_INSTANCES):
            found.setdefault(row.region, {}).update(instances=row[1])
        for row in self._connection.execute(_SNAPSHOTS):
            found.setdefault(row.region, {}).update(snapshots=row[1])
        for region, (count, oldest_ms) in self.pending().items():
            found.setdefault(region, {}).update(pending=count, oldest_pending_ms=oldest_ms)
        return {region: RegionTotals(**given) for region, given in found.items()}

    def pending(self) -> dict[str, tuple[int, int]]:
        """How many snapshots of each region are pending, and when the oldest was begun."""
        rows = self._connection.execute(_PENDING)
        return {row.region: (row[1], row.oldest_ms) for row in rows}

    def newest_of(self, disk_ids: Collection[str]) -> dict[str, int]:
        """When the newest stored snapshot of each disk was taken, automatic or not."""
        rows = self._connection.execute(_NEWEST, {"ids": list(disk_ids)})
        return {row.id: row.newest_ms for row in rows if row.newest_ms is not None}

    def failed_snapshots(self, limit: int) -> list[FailedSnapshot]:
        """Snapshots in error of disks of which nothing was stored since, newest first."""
        rows = self._connection.execute(_FAILED_SNAPSHOTS, {"limit": limit})
        return [
            FailedSnapshot(one.region, one.whole_name or one.name, one.disk_name) for one in rows
        ]

    def missing_roots(self) -> dict[str, int]:
        """How many snapshots of each region have lost their roots, and may get them back."""
        return {row.region: row[1] for row in self._connection.execute(_MISSING)}

    def failed(self, since_ms: int, among: int, limit: int) -> list[Operation]:
        """Operations that failed since a moment, newest first: of the latest so many."""
        asked = {"since_ms": since_ms, "among": among, "limit": limit}
        return [operation_of(row) for row in self._connection.execute(_FAILED, asked)]

    def jobs(self, limit: int) -> RunningJobs:
        """What runs and what waits."""
        counted = self._connection.execute(_COUNTED).one()
        running = int(counted.running or 0)
        some = [job_of(row) for row in self._connection.execute(_RUNNING, {"limit": limit})]
        return RunningJobs(some, running, counted.all - running)
