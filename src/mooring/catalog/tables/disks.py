"""Rows of disks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, bindparam, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.auto_runs import read_add_on, with_add_on
from mooring.catalog.tables.rows import ResourceRows
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.tags import Tags


class Disks(ResourceRows[Disk]):
    """The disks, with the names of the instances that they are attached to."""

    table = schema.disks
    kind = ResourceType.DISK

    def query(self) -> Select[Any]:
        disks, instances = schema.disks, schema.instances
        query = select(disks, instances.c.name.label("instance_name")).outerjoin(
            instances, instances.c.id == disks.c.instance_id
        )
        return with_add_on(query, disks.c.id)

    def value(self, row: Row[Any], tags: Tags) -> Disk:
        return Disk(
            id=row.id,
            region=row.region,
            zone=row.zone,
            name=row.name,
            created_ms=row.created_ms,
            support_code=row.support_code,
            size_gb=row.size_gb,
            state=DiskState(row.state),
            attachment=Attachment(row.attachment),
            instance_id=row.instance_id,
            instance_name=row.instance_name,
            path=row.path,
            origin_id=row.origin_id,
            auto_mounting=bool(row.auto_mounting),
            is_system=bool(row.is_system),
            add_on=read_add_on(row),
            tags=tags,
        )

    def of_instance(self, instance_id: str) -> list[Disk]:
        """The disks attached to the instance, or on the way there or back."""
        column = self.table.c.instance_id
        asked = {"instance": instance_id}
        return self.held("instance", lambda: [column == bindparam("instance")], asked)

    def of_region(self, region: str) -> list[Disk]:
        return self.where(self.table.c.region == region)

    def in_use(self, zone: str) -> list[Disk]:
        """The zone's disks that are attached to instances, or on the way there or back."""
        c = self.table.c
        return self.where(c.zone == zone, c.instance_id.is_not(None))

    def in_zone(self, zone: str, after: int, limit: int) -> tuple[list[Disk], int | None]:
        """The next disks of the zone in the order of their making, and where it goes on."""
        of = [self.table.c.zone == bindparam("zone")]
        return self._page("zone", of, {"zone": zone}, after, limit)
