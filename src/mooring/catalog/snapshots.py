"""Rows of disk snapshots."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from mooring.catalog import schema
from mooring.catalog.rows import ResourceRows
from mooring.model.operation import ResourceType
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.model.tags import Tags


class Snapshots(ResourceRows[DiskSnapshot]):
    """The snapshots of disks; they outlive their disks."""

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
            parent_id=row.parent_id,
            changed_bytes=row.changed_bytes,
            stored_bytes=row.stored_bytes,
            completed_ms=row.completed_ms,
            tags=tags,
        )

    def of_disk(self, disk_id: str, state: SnapshotState) -> list[DiskSnapshot]:
        """The disk's snapshots in that state, oldest first."""
        return self.where(self.table.c.disk_id == disk_id, self.table.c.state == state)

    def in_state(self, state: SnapshotState) -> list[DiskSnapshot]:
        return self.where(self.table.c.state == state)
