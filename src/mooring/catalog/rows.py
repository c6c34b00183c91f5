"""What the tables of named resources have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, delete, insert, select, update

from mooring.catalog.names import Names
from mooring.catalog.tags import TagRows
from mooring.model.operation import ResourceType
from mooring.model.tags import Tags


class Named(Protocol):
    """A resource with an id, a name that is unique in its region, and tags."""

    @property
    def id(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def tags(self) -> Tags: ...


Value = TypeVar("Value", bound=Named)


class ResourceRows(Generic[Value]):
    """Rows of one table of named resources, as values of one type."""

    table: Table
    kind: ResourceType

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._tags = TagRows(connection)
        self._names = Names(connection)

    def value(self, row: Row[Any], tags: Tags) -> Value:
        """The value that a row stands for."""
        raise NotImplementedError

    def columns(self, value: Value) -> dict[str, Any]:
        """The row that a value becomes."""
        known = self.table.c.keys()
        names = [field.name for field in fields(value) if field.name in known]  # type: ignore[arg-type]
        return {name: getattr(value, name) for name in names}

    def listed(self) -> list[ColumnElement[bool]]:
        """Which rows lists show: all, unless a table says otherwise."""
        return []

    def query(self) -> Select[Any]:
        """Selects whole rows; a table that joins others overrides it."""
        return select(self.table)

    def add(self, value: Value) -> None:
        """Insert the resource with its name and tags."""
        self._names.take(value.region, value.name, self.kind, value.id)
        self.connection.execute(insert(self.table).values(**self.columns(value)))
        if value.tags:
            self._tags.replace(value.id, value.tags)

    def remove(self, value: Value) -> None:
        """Delete the resource with its name and tags."""
        self._names.free(value.region, value.name)
        self._tags.replace(value.id, {})
        self.connection.execute(delete(self.table).where(self.table.c.id == value.id))

    def change(self, resource_id: str, **columns: Any) -> bool:
        """Set columns; False if there is no such row."""
        done = self.connection.execute(
            update(self.table).where(self.table.c.id == resource_id).values(**columns)
        )
        return bool(done.rowcount)

    def by_name(self, region: str, name: str) -> Value | None:
        return self._one(self.table.c.region == region, self.table.c.name == name)

    def by_id(self, resource_id: str) -> Value | None:
        return self._one(self.table.c.id == resource_id)

    def page(self, region: str, after: int, limit: int) -> tuple[list[Value], int | None]:
        """The next values in the order of their making, and where the page after them begins."""
        rows = self.connection.execute(
            self.query()
            .where(self.table.c.region == region, self.table.c.seq > after, *self.listed())
            .order_by(self.table.c.seq)
            .limit(limit + 1)
        ).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return self.values(rows[:limit]), more

    def where(self, *conditions: ColumnElement[bool]) -> list[Value]:
        """All values that meet the conditions, in the order of their making."""
        query = self.query().where(*conditions).order_by(self.table.c.seq)
        return self.values(self.connection.execute(query).all())

    def all(self) -> list[Value]:
        return self.where()

    def _one(self, *conditions: ColumnElement[bool]) -> Value | None:
        found = self.where(*conditions)
        return found[0] if found else None

    def values(self, rows: Iterable[Row[Any]]) -> list[Value]:
        """The values that rows stand for, with their tags."""
        rows = list(rows)
        tags: Mapping[str, Tags] = self._tags.of([row.id for row in rows]) if rows else {}
        return [self.value(row, tags[row.id]) for row in rows]
