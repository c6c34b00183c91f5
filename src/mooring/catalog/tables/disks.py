"""Rows of disks."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Integer, Row, Select, bindparam, func, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.auto_runs import read_add_on, with_add_on
from mooring.catalog.tables.rows import ResourceRows
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.tags import Tags

_table = schema.disks
_MADE = (
    select(_table.c.seq, _table.c.id, _table.c.region)
    .where(
        _table.c.zone == bindparam("zone"),
        _table.c.host == bindparam("host"),
        _table.c.seq > bindparam("after", type_=BigInteger),
        _table.c.state.in_([DiskState.AVAILABLE, DiskState.IN_USE]),
    )
    .order_by(_table.c.seq)
    .limit(bindparam("limit", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class Made:
    """What is read of a disk where all have to be gone through: far less than the disk."""

    seq: int
    id: str
    zone: str
    region: str


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
            ancestors=tuple(json.loads(row.ancestors or "[]")),
            auto_mounting=bool(row.auto_mounting),
            is_system=bool(row.is_system),
            add_on=read_add_on(row),
            host=row.host,
            tags=tags,
        )

    def columns(self, value: Disk) -> dict[str, Any]:
        return {**super().columns(value), "ancestors": _written(value.ancestors)}

    def set_origin(self, disk_id: str, origin_id: str, ancestors: Sequence[str]) -> None:
        """Record what the disk was reverted to, and what it descends from besides."""
        self.change(disk_id, origin_id=origin_id, ancestors=_written(ancestors))

    def of_instance(self, instance_id: str) -> list[Disk]:
        """The disks attached to the instance, or on the way there or back."""
        column = self.table.c.instance_id
        asked = {"instance": instance_id}
        return self.held("instance", lambda: [column == bindparam("instance")], asked)

    def of_region(self, region: str) -> list[Disk]:
        return self.where(self.table.c.region == region)

    def search(
        self, region: str, text: str, after: int, limit: int, among: Collection[str] | None = None
    ) -> tuple[list[Disk], int | None]:
        """The next disks of the region whose names contain the text, and where it goes on.

        Only those with these ids, if any are given.
        """
        c = self.table.c
        query = self.selected().where(c.region == region, c.seq > after)
        if text:
            query = query.where(func.lower(c.name).contains(text.lower(), autoescape=True))
        if among is not None:
            query = query.where(c.id.in_(list(among)))
        rows = self.connection.execute(query.order_by(c.seq).limit(limit + 1)).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return self.values(rows[:limit]), more

    def made_from(self, snapshot_ids: Collection[str]) -> list[Disk]:
        """The disks, of any region, that were made from these snapshots."""
        return self.where(self.table.c.origin_id.in_(list(snapshot_ids)))

    def place(self, disk_id: str) -> int | None:
        """Where the disk is in the order of their making."""
        query = select(self.table.c.seq).where(self.table.c.id == disk_id)
        return self.connection.execute(query).scalar()

    def count(self, region: str) -> int:
        """How many disks the region has."""
        query = select(func.count()).select_from(self.table).where(self.table.c.region == region)
        return int(self.connection.execute(query).scalar_one())

    def in_use(self, zone: str, host: str = "") -> list[Disk]:
        """The disks of the zone and host that are attached, or on the way there or back."""
        c = self.table.c
        return self.where(c.zone == zone, c.host == host, c.instance_id.is_not(None))

    def alone_on_host(self, host: str) -> list[Disk]:
        """The disks of the host that are attached to nothing."""
        c = self.table.c
        return self.where(c.host == host, c.host != "", c.instance_id.is_(None))

    def on_no_host(self, zone: str) -> list[Disk]:
        """The disks of the zone of which no row says where they are."""
        c = self.table.c
        return self.where(c.zone == zone, c.host == "")

    def made(self, zone: str, after: int, limit: int, host: str = "") -> list[Made]:
        """The next disks of zone and host that have been made, in the order of their making."""
        asked = {"zone": zone, "host": host, "after": after, "limit": limit}
        rows = self.connection.execute(_MADE, asked)
        return [Made(row.seq, row.id, zone, row.region) for row in rows]

    def in_zone(self, zone: str, after: int, limit: int) -> tuple[list[Disk], int | None]:
        """The next disks of the zone in the order of their making, and where it goes on."""
        return self._page(
            "zone", lambda: [self.table.c.zone == bindparam("zone")], {"zone": zone}, after, limit
        )


def _written(ancestors: Sequence[str]) -> str | None:
    return json.dumps(list(ancestors)) if ancestors else None
