"""Where resources are: their zones, or regions, found without reading all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, Connection, func, select

from mooring.catalog.tables import schema


class Places:
    """The places that the rows of the catalog name, however few rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def zones(self) -> set[str]:
        """All zones of disks and of instances."""
        disks, instances = schema.disks.c.zone, schema.instances.c.zone
        return {*self._distinct(disks), *self._distinct(instances)}

    def regions_of_snapshots(self) -> list[str]:
        return self._distinct(schema.disk_snapshots.c.region)

    def disks_in(self, zone: str, hosts: Collection[str]) -> list[tuple[str, str]]:
        """Region and name of each disk of the zone on these hosts, in the order of their making."""
        table = schema.disks
        query = select(table.c.region, table.c.name).where(
            table.c.zone == zone, table.c.host.in_(hosts)
        )
        rows = self._connection.execute(query.order_by(table.c.seq))
        return [(row.region, row.name) for row in rows]

    def instances_in(self, zone: str, hosts: Collection[str]) -> dict[str, int]:
        """How many instances the zone has on these hosts, by region."""
        table = schema.instances
        query = select(table.c.region, func.count().label("count")).where(
            table.c.zone == zone, table.c.host.in_(hosts)
        )
        rows = self._connection.execute(query.group_by(table.c.region)).all()
        return {row.region: row[1] for row in rows}

    def snapshots_of(self, region: str) -> int:
        """How many snapshots of disks the region has."""
        table = schema.disk_snapshots
        query = select(func.count()).select_from(table).where(table.c.region == region)
        return int(self._connection.execute(query).scalar_one())

    def _distinct(self, column: Column[Any]) -> list[str]:
        """The values of a column that has an index: one look-up for each, not one row."""
        found: list[str] = []
        while True:
            following = select(func.min(column)).where(column > (found[-1] if found else ""))
            value = self._connection.execute(following).scalar()
            if value is None:
                return found
            found.append(value)
