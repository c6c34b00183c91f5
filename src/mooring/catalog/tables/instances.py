"""Rows of instances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, Select, select, update

from mooring.catalog.tables import schema
from mooring.catalog.tables.auto_runs import read_add_on, with_add_on
from mooring.catalog.tables.rows import ResourceRows
from mooring.catalog.tables.slots import free_slot
from mooring.model.operation import ResourceType
from mooring.model.resources.firewall import decode, encode
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.tags import Tags


class Instances(ResourceRows[Instance]):
    """The places where disks are used."""

    table = schema.instances
    kind = ResourceType.INSTANCE

    def query(self) -> Select[Any]:
        kept = schema.static_ips
        query = select(self.table).add_columns(kept.c.slot.label("static_slot"))
        query = query.outerjoin(kept, kept.c.instance_id == self.table.c.id)
        return with_add_on(query, self.table.c.id)

    def value(self, row: Row[Any], tags: Tags) -> Instance:
        return Instance(
            id=row.id,
            region=row.region,
            zone=row.zone,
            name=row.name,
            created_ms=row.created_ms,
            support_code=row.support_code,
            blueprint_id=row.blueprint_id,
            bundle_id=row.bundle_id,
            state=InstanceState.of(row.state),
            key_pair=row.key_pair,
            ip_address_type=row.ip_address_type,
            metadata_options=json.loads(row.metadata_options or "null"),
            ports=decode(row.ports),
            add_on=read_add_on(row),
            slot=row.slot,
            static_slot=row.static_slot,
            host=row.host,
            tags=tags,
        )

    def columns(self, value: Instance) -> dict[str, Any]:
        options = value.metadata_options
        return {
            **super().columns(value),
            "state": value.state.label,
            "metadata_options": None if options is None else json.dumps(dict(options)),
            "ports": encode(value.ports),
            "slot": free_slot(self.connection),
        }

    def on_host(self, host: str) -> list[Instance]:
        """The instances whose disks are on the host."""
        c = self.table.c
        return self.where(c.host == host, c.host != "")

    def remove(self, value: Instance) -> None:
        """Delete the instance; a static IP that it has stays, attached to nothing."""
        kept = schema.static_ips
        detach = update(kept).where(kept.c.instance_id == value.id).values(instance_id=None)
        self.connection.execute(detach)
        super().remove(value)

    def set_metadata_options(self, instance_id: str, options: Mapping[str, Any]) -> None:
        self.change(instance_id, metadata_options=json.dumps(dict(options)))
