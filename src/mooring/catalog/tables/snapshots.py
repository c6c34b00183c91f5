"""Rows of disk snapshots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, Text, and_, bindparam, func, or_, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.rows import ResourceRows
from mooring.catalog.tables.tags import STATEMENT_IDS
from mooring.model.automatic.rules import AutoSource
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.own_blueprint import Platform
from mooring.model.resources.snapshot import DiskSnapshot, Lost, SnapshotState
from mooring.model.tags import Tags

_table = schema.disk_snapshots
_STORED_OF_DISK = (
    select(_table.c.id)
    .where(_table.c.disk_id == bindparam("of"), _table.c.state == SnapshotState.COMPLETED)
    .order_by(_table.c.content_id.is_not(None), _table.c.seq.desc())
)
_STORED_AMONG = _STORED_OF_DISK.where(
    _table.c.id.in_(bindparam("among", expanding=True, type_=Text))
)
_STORED_NEAR = (
    select(_table.c.id)
    .where(_table.c.disk_id == bindparam("of"), _table.c.state == SnapshotState.COMPLETED)
    .order_by(func.abs(_table.c.created_ms - bindparam("near_ms")), _table.c.seq)
)
_wholes, _disks = schema.instance_snapshots, schema.disks
_ALL_PENDING = (
    select(
        _table.c.disk_id,
        _table.c.auto,
        _table.c.content_id,
        _wholes.c.instance_id,
        _wholes.c.auto.label("whole_auto"),
    )
    .outerjoin(_wholes, _wholes.c.id == _table.c.part_of)
    .where(_table.c.state == SnapshotState.PENDING)
)
_PENDING = _ALL_PENDING.outerjoin(_disks, _disks.c.id == _table.c.disk_id).where(
    _table.c.disk_zone.in_(bindparam("zones", expanding=True, type_=Text)),
    func.coalesce(_disks.c.host, "").in_(["", bindparam("host", type_=Text)]),
)
_NEWEST_STORED = (
    select(_table.c.created_ms, _table.c.auto)
    .where(
        _table.c.disk_id == bindparam("of"),
        _table.c.state == SnapshotState.COMPLETED,
        _table.c.auto.is_not(None),
    )
    .order_by(_table.c.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)
_NEWEST_OF_DISK = (
    select(_table.c.created_ms, _table.c.changed_bytes)
    .where(
        _table.c.disk_id == bindparam("of"),
        _table.c.state == SnapshotState.COMPLETED,
        # A copy holds what the disk held before.
        _table.c.content_id.is_(None),
    )
    .order_by(_table.c.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)

MOST_RECENT = 1000
"""Snapshots from which a rate is told."""


@dataclass(slots=True)
class Pending:
    """The snapshots of the disks of some zones that are pending.

    `automatic` counts those that are automatic, or part of one that is; `resources` has the ids of
    the disks and instances that these are of; `of_disks` counts all but copies, by disk.
    """

    automatic: int = 0
    resources: set[str] = field(default_factory=set)
    of_disks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Rooted:
    """What is known of a snapshot that has, or had, a root: of many, far less than the snapshot.

    `age`: the greater, the later it was stored.
    """

    id: str
    lost: Lost | None
    age: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """What snapshots stored in some days: how many they were, and their bytes."""

    snapshots: int
    stored: int


class Snapshots(ResourceRows[DiskSnapshot]):
    """The snapshots of disks; they outlive their disks.

    Parts of instance snapshots and automatic ones are among them, but have no place in the name
    space, nor in lists.
    """

    table = schema.disk_snapshots
    kind = ResourceType.DISK_SNAPSHOT

    def value(self, row: Row[Any], tags: Tags) -> DiskSnapshot:
        return DiskSnapshot(
            id=row.id,
            region=row.region,
            name=row.name,
            created_ms=row.created_ms,
            support_code=row.support_code,
            size_gb=row.size_gb,
            disk_id=row.disk_id,
            disk_name=row.disk_name,
            disk_zone=row.disk_zone,
            state=SnapshotState(row.state),
            frozen=bool(row.frozen),
            progress=row.progress,
            pause_us=row.pause_us,
            consistency=Consistency(row.consistency) if row.consistency else None,
            rest_us=row.rest_us,
            rest_problem=row.rest_problem,
            parent_id=row.parent_id,
            changed_bytes=row.changed_bytes,
            stored_bytes=row.stored_bytes,
            completed_ms=row.completed_ms,
            part_of=row.part_of,
            disk_path=row.disk_path,
            from_instance_id=row.from_instance_id,
            from_instance_name=row.from_instance_name,
            is_system=bool(row.is_system),
            blueprint=None if row.blueprint is None else Platform(row.blueprint),
            content_id=row.content_id,
            from_auto=bool(row.from_auto),
            auto=None if row.auto is None else AutoSource(row.auto),
            lost=None if row.lost is None else Lost(row.lost),
            tags=tags,
        )

    def listed(self) -> list[ColumnElement[bool]]:
        return [self.table.c.part_of.is_(None), self.table.c.auto.is_(None)]

    def has_name(self, value: DiskSnapshot) -> bool:
        return value.has_name

    def latest(
        self,
        region: str,
        before: int | None,
        limit: int,
        *,
        disk_id: str | None = None,
        disk_name: str | None = None,
    ) -> tuple[list[DiskSnapshot], int | None]:
        """The region's snapshots, automatic ones among them, newest first, and where it goes on.

        Parts of instances' snapshots are among them only if those of one disk are wanted, which is
        named only if it has no id any more: there is no index by names.
        """
        c = self.table.c
        which: ColumnElement[bool] = c.part_of.is_(None)
        if disk_id is not None:
            which = c.disk_id == disk_id
        elif disk_name is not None:
            which = c.disk_name == disk_name
        return self.back(before, limit, c.region == region, which)

    def parts(self, set_ids: Sequence[str]) -> dict[str, list[DiskSnapshot]]:
        """The parts of instance snapshots by the ids of these, in the order of their making."""
        found: dict[str, list[DiskSnapshot]] = {set_id: [] for set_id in set_ids}
        for start in range(0, len(set_ids), STATEMENT_IDS):
            for part in self.where(
                self.table.c.part_of.in_(list(set_ids[start : start + STATEMENT_IDS]))
            ):
                if part.part_of is not None:
                    found[part.part_of].append(part)
        return found

    def auto_of_disk(self, disk_id: str) -> list[DiskSnapshot]:
        """The disk's automatic snapshots in any state, oldest first."""
        c = self.table.c
        of = [c.disk_id == bindparam("disk"), c.auto.is_not(None)]
        return self.held("auto", lambda: of, {"disk": disk_id})

    def pending(self, zones: Collection[str], host: str = "") -> Pending:
        """Which snapshots of the host's disks in these zones are pending.

        To say what has to wait for them.
        """
        found = Pending()
        for row in self.connection.execute(_PENDING, {"zones": list(zones), "host": host}):
            if row.content_id is None:
                found.of_disks[row.disk_id] += 1
            if row.auto is not None or row.whole_auto is not None:
                found.automatic += 1
                found.resources.add(row.disk_id if row.auto is not None else row.instance_id)
        return found

    def pending_resources(self) -> set[str]:
        """The ids of the disks and instances of which automatic snapshots are pending."""
        found = set()
        for row in self.connection.execute(_ALL_PENDING):
            if row.auto is not None or row.whole_auto is not None:
                found.add(row.disk_id if row.auto is not None else row.instance_id)
        return found

    def newest_stored(self, disk_id: str, limit: int) -> list[tuple[int, AutoSource]]:
        """When the disk's newest stored automatic snapshots were taken, and why; newest first."""
        rows = self.connection.execute(_NEWEST_STORED, {"of": disk_id, "limit": limit})
        return [(row.created_ms, AutoSource(row.auto)) for row in rows]

    def failed_of_disk(self, disk_id: str) -> list[DiskSnapshot]:
        """The disk's automatic snapshots that could not be stored."""
        return [
            one
            for one in self.of_disk(disk_id, SnapshotState.ERROR)
            if one.auto is not None and one.lost is None
        ]

    def of_disk(self, disk_id: str, state: SnapshotState) -> list[DiskSnapshot]:
        """The disk's snapshots in that state, oldest first."""
        c = self.table.c
        statement = self._statement(
            "disk",
            lambda: [c.disk_id == bindparam("disk_id"), c.state == bindparam("state")],
            limited=False,
        )
        asked = {"disk_id": disk_id, "state": state}
        return self.values(self.connection.execute(statement, asked).all())

    def newest_changes(self, disk_id: str, limit: int) -> list[tuple[int, int | None]]:
        """When the disk's newest completed snapshots were taken, and what had changed; newest
        first."""
        rows = self.connection.execute(_NEWEST_OF_DISK, {"of": disk_id, "limit": limit})
        return [(row.created_ms, row.changed_bytes) for row in rows]

    def newest_of_disk(
        self, region: str, disk_id: str, before: int | None, limit: int
    ) -> list[DiskSnapshot]:
        """The disk's newest snapshots in the region in any state, taken before a moment; newest
        first. Copies in other regions bear its id, too."""
        c = self.table.c
        # By state, as the index has them: there may be far more than are asked for.
        parts = [
            self.selected()
            .where(c.disk_id == disk_id, c.state == state, c.region == region)
            .where(*([] if before is None else [c.created_ms < before]))
            .order_by(c.seq.desc())
            .limit(limit)
            for state in SnapshotState
        ]
        found = [one for part in parts for one in self.values(self.connection.execute(part).all())]
        return sorted(found, key=lambda one: one.created_ms, reverse=True)[:limit]

    def newest_name(self, disk_id: str) -> str | None:
        """The name of the disk's newest completed snapshot."""
        c = self.table.c
        own = [c.disk_id == disk_id, c.state == SnapshotState.COMPLETED, c.content_id.is_(None)]
        query = select(c.name).where(*own)
        return self.connection.execute(query.order_by(c.seq.desc()).limit(1)).scalar()

    def completed_of_region(self, region: str) -> list[DiskSnapshot]:
        """The region's completed snapshots, oldest first."""
        c = self.table.c
        return self.where(c.region == region, c.state == SnapshotState.COMPLETED)

    def stored_of_disk(self, disk_id: str, among: Sequence[str] | None = None) -> list[str]:
        """The ids of the disk's completed snapshots, newest first, copies after all others.

        Only those `among` some ids, if any are given.
        """
        asked: dict[str, object] = {"of": disk_id}
        if among is None:
            return list(self.connection.execute(_STORED_OF_DISK, asked).scalars())
        asked["among"] = list(among)
        return list(self.connection.execute(_STORED_AMONG, asked).scalars())

    def stored_near(self, disk_id: str, moment_ms: int) -> list[str]:
        """The ids of the disk's completed snapshots, those taken nearest to the moment first."""
        asked = {"of": disk_id, "near_ms": moment_ms}
        return list(self.connection.execute(_STORED_NEAR, asked).scalars())

    def with_content(self, region: str, content: str) -> list[DiskSnapshot]:
        """The region's completed snapshots that hold the same because they are copies."""
        # Looked up by that alone: SQLite could choose the index of all that are completed.
        copies = select(self.table.c.id).where(self.table.c.content_id == content)
        found = self.among([content, *self.connection.execute(copies).scalars()])
        return [
            one for one in found if one.region == region and one.state is SnapshotState.COMPLETED
        ]

    def copies_of(self, contents: Collection[str]) -> list[DiskSnapshot]:
        """The snapshots, of any region, that are copies of what these hold."""
        return self.where(self.table.c.content_id.in_(list(contents)))

    def blueprints(self, region: str) -> list[DiskSnapshot]:
        """The region's snapshots that are blueprints, in any state, oldest first."""
        c = self.table.c
        return self.where(c.region == region, c.blueprint.is_not(None))

    def rooted(self, region: str) -> list[Rooted]:
        """The region's snapshots that have, or had, a root in its vault, oldest first."""
        c = self.table.c
        query = select(c.id, c.lost, c.created_ms, c.completed_ms).where(self._is_rooted(region))
        rows = self.connection.execute(query.order_by(c.seq))
        return [
            Rooted(
                row.id,
                None if row.lost is None else Lost(row.lost),
                (row.completed_ms or 0, row.created_ms),
            )
            for row in rows
        ]

    def count_rooted(self, region: str) -> int:
        """How many snapshots of the region have, or had, a root in its vault."""
        query = select(func.count()).select_from(self.table).where(self._is_rooted(region))
        return int(self.connection.execute(query).scalar_one())

    def _is_rooted(self, region: str) -> ColumnElement[bool]:
        c = self.table.c
        stored = or_(c.state == SnapshotState.COMPLETED, c.lost.is_not(None))
        return and_(c.region == region, stored)

    def lost_ids(self, region: str) -> set[str]:
        """The ids of the region's snapshots that had a root and lost it."""
        c = self.table.c
        query = select(c.id).where(c.region == region, c.lost.is_not(None))
        return set(self.connection.execute(query).scalars())

    def stored_since(self, region: str, since_ms: int) -> Stored:
        """What snapshots of the region stored that were taken since a moment.

        The newest only, for there may be far more.
        """
        c = self.table.c
        newest = (
            select(c.created_ms, c.stored_bytes)
            .where(c.region == region)
            .order_by(c.seq.desc())
            .limit(MOST_RECENT)
        )
        rows = [row for row in self.connection.execute(newest) if row.created_ms >= since_ms]
        return Stored(len(rows), sum(row.stored_bytes or 0 for row in rows))

    def progress(self, region: str) -> tuple[int, int]:
        """How many snapshots of the region are pending, and the sum of their percents."""
        c = self.table.c
        query = select(func.count(), func.coalesce(func.sum(c.progress), 0)).where(
            c.state == SnapshotState.PENDING, c.region == region
        )
        count, percents = self.connection.execute(query).one()
        return int(count), int(percents)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of these ids that are of snapshots of disks, of any region and in any state."""
        asked = list(ids)
        found: set[str] = set()
        for cut in range(0, len(asked), STATEMENT_IDS):
            some = self.table.c.id.in_(asked[cut : cut + STATEMENT_IDS])
            found |= set(self.connection.execute(select(self.table.c.id).where(some)).scalars())
        return found

    def in_state(self, state: SnapshotState) -> list[DiskSnapshot]:
        return self.where(self.table.c.state == state)
