"""Rows of static IPs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Select, func, select

from mooring.catalog.locks import alone
from mooring.catalog.tables import schema
from mooring.catalog.tables.rows import ResourceRows
from mooring.catalog.tables.slots import SLOTS_LOCK, free_slot
from mooring.model.operation import ResourceType
from mooring.model.resources.static_ip import StaticIp
from mooring.model.tags import Tags


class StaticIps(ResourceRows[StaticIp]):
    """Addresses that are kept, attached to an instance or not."""

    table = schema.static_ips
    kind = ResourceType.STATIC_IP

    def query(self) -> Select[Any]:
        instances = schema.instances
        return (
            select(self.table)
            .add_columns(instances.c.name.label("instance_name"))
            .outerjoin(instances, instances.c.id == self.table.c.instance_id)
        )

    def value(self, row: Row[Any], tags: Tags) -> StaticIp:
        return StaticIp(
            id=row.id,
            region=row.region,
            name=row.name,
            created_ms=row.created_ms,
            slot=row.slot,
            instance_id=row.instance_id,
            instance_name=row.instance_name,
            tags=tags,
        )

    def free_slot(self) -> int:
        """What a new one can have. Raises OperationFailureException."""
        return free_slot(self.connection)

    def count(self, region: str) -> int:
        """How many the region has; nobody else adds one before a transaction that writes ends."""
        alone(self.connection, SLOTS_LOCK)
        table = self.table
        query = select(func.count()).select_from(table).where(table.c.region == region)
        return int(self.connection.execute(query).scalar_one())

    def of_instance(self, instance_id: str) -> StaticIp | None:
        """The one attached to the instance."""
        found = self.where(self.table.c.instance_id == instance_id)
        return found[0] if found else None
