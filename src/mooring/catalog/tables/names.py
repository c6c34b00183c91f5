"""Rows of a region's single name space."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Text, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from mooring.catalog.tables import schema
from mooring.model.names import name_taken
from mooring.model.operation import ResourceType

_table = schema.names
_in_region = _table.c.region == bindparam("in_region")
_named = _table.c.name == bindparam("named")
_TAKEN = select(_table.c.name).where(
    _in_region, _table.c.name.in_(bindparam("names", expanding=True, type_=Text))
)
_TAKE = insert(_table)
_FIND = select(_table.c.resource_type, _table.c.resource_id).where(_in_region, _named)
_FREE = delete(_table).where(_in_region, _named)


class Names:
    """Which names are taken, and by what."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def taken(self, region: str, names: Sequence[str]) -> list[str]:
        """Those of the names that a resource of the region has."""
        if len(names) == 1:
            # Nearly always; the database need not be given a statement made for the number.
            return list(names) if self.find(region, names[0]) is not None else []
        asked = {"in_region": region, "names": list(names)}
        found = set(self._connection.execute(_TAKEN, asked).scalars())
        return [name for name in names if name in found]

    def take(self, region: str, name: str, kind: ResourceType, resource_id: str) -> None:
        """Raises InvalidInputException if another has taken the name meanwhile."""
        row = {"region": region, "name": name, "resource_type": kind, "resource_id": resource_id}
        try:
            self._connection.execute(_TAKE, row)
        except IntegrityError:
            raise name_taken([name]) from None

    def find(self, region: str, name: str) -> tuple[ResourceType, str] | None:
        """The type and id of the resource with that name."""
        asked = {"in_region": region, "named": name}
        row = self._connection.execute(_FIND, asked).one_or_none()
        return None if row is None else (ResourceType(row.resource_type), row.resource_id)

    def free(self, region: str, name: str) -> None:
        self._connection.execute(_FREE, {"in_region": region, "named": name})

    def page(self, region: str, after: str, limit: int) -> list[str]:
        """The next names in alphabetical order."""
        table = schema.names
        return list(
            self._connection.execute(
                select(table.c.name)
                .where(table.c.region == region, table.c.name > after)
                .order_by(table.c.name)
                .limit(limit)
            ).scalars()
        )
