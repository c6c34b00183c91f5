"""Rows of instance snapshots, with their parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, bindparam, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.rows import ResourceRows
from mooring.catalog.tables.snapshots import Snapshots
from mooring.model.automatic.rules import AutoSource
from mooring.model.operation import ResourceType
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.snapshot import SnapshotState
from mooring.model.tags import Tags

_table = schema.instance_snapshots
_NEWEST = (
    select(_table.c.created_ms, _table.c.auto)
    .where(_table.c.instance_id == bindparam("of"), _table.c.auto.is_not(None))
    .order_by(_table.c.seq.desc())
    .limit(bindparam("limit", type_=Integer))
)


class InstanceSnapshots(ResourceRows[InstanceSnapshot]):
    """The snapshots of instances; they outlive their instances.

    Automatic ones are among them, but have no place in the name space, nor in lists.
    """

    table = schema.instance_snapshots
    kind = ResourceType.INSTANCE_SNAPSHOT

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._snapshots = Snapshots(connection)

    def value(self, row: Row[Any], tags: Tags) -> InstanceSnapshot:
        return InstanceSnapshot(
            id=row.id,
            region=row.region,
            name=row.name,
            created_ms=row.created_ms,
            support_code=row.support_code,
            instance_id=row.instance_id,
            instance_name=row.instance_name,
            instance_zone=row.instance_zone,
            blueprint_id=row.blueprint_id,
            bundle_id=row.bundle_id,
            from_auto=bool(row.from_auto),
            auto=None if row.auto is None else AutoSource(row.auto),
            tags=tags,
        )

    def listed(self) -> list[ColumnElement[bool]]:
        return [self.table.c.auto.is_(None)]

    def has_name(self, value: InstanceSnapshot) -> bool:
        return value.has_name

    def add(self, value: InstanceSnapshot) -> None:
        """Insert the snapshot with its parts."""
        super().add(value)
        for part in value.parts:
            self._snapshots.add(part)

    def remove(self, value: InstanceSnapshot) -> None:
        """Delete the snapshot with its parts."""
        for part in value.parts:
            self._snapshots.remove(part)
        super().remove(value)

    def auto_of_instance(self, instance_id: str) -> list[InstanceSnapshot]:
        """The instance's automatic snapshots in any state, oldest first."""
        c = self.table.c
        of = [c.instance_id == bindparam("instance"), c.auto.is_not(None)]
        return self.held("auto", lambda: of, {"instance": instance_id})

    def newest(self, instance_id: str, limit: int) -> list[tuple[int, AutoSource]]:
        """When the instance's newest automatic snapshots were taken, and why; newest first."""
        rows = self.connection.execute(_NEWEST, {"of": instance_id, "limit": limit})
        return [(row.created_ms, AutoSource(row.auto)) for row in rows]

    def latest(
        self, region: str, before: int | None, limit: int
    ) -> tuple[list[InstanceSnapshot], int | None]:
        """The region's, automatic ones among them, newest first, and where it goes on."""
        return self.back(before, limit, self.table.c.region == region)

    def failed_of_instance(self, instance_id: str) -> list[InstanceSnapshot]:
        """The instance's automatic snapshots of which a disk could not be stored."""
        parts = schema.disk_snapshots.c
        failed = select(parts.part_of).where(
            parts.state == SnapshotState.ERROR, parts.part_of.is_not(None), parts.lost.is_(None)
        )
        c = self.table.c
        return self.where(c.instance_id == instance_id, c.auto.is_not(None), c.id.in_(failed))

    def values(self, rows: Iterable[Row[Any]]) -> list[InstanceSnapshot]:
        found = super().values(rows)
        parts = self._snapshots.parts([one.id for one in found])
        return [replace(one, parts=parts[one.id]) for one in found]
