"""What the tables of named resources have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Integer,
    Row,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from mooring.catalog.locks import locks_rows
from mooring.catalog.tables.names import Names
from mooring.catalog.tables.tags import STATEMENT_IDS, TagRows, read_tags_column, tags_column
from mooring.members import member_names
from mooring.model.errors import MissingRowError
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


Conditions = Callable[[], Sequence[ColumnElement[bool]]]
"""Makes conditions with parameters, when their statement is made."""

REMEMBERED_VALUES = 10_000
"""Values of one type kept to save making them again: lists ask for the same ones all the time."""


class ResourceRows(Generic[Value]):
    """Rows of one table of named resources, as values of one type.

    A value follows from its row and its tags alone.
    """

    table: Table
    kind: ResourceType

    _remembered: ClassVar[dict[str, tuple[tuple[Any, ...], Any]]]
    """The last value of each id, and the row that it was made of."""

    _id_at: ClassVar[int]
    _prepared: ClassVar[dict[tuple[str, str], Select[Any]]]
    _locking: ClassVar[dict[str, Select[Any]]]
    _insert: ClassVar[Insert]
    _change: ClassVar[Update]
    _delete: ClassVar[Delete]

    def __init_subclass__(cls) -> None:
        cls._remembered, cls._prepared, cls._locking = {}, {}, {}
        cls._id_at = cls.table.c.keys().index("id")
        this = cls.table.c.id == bindparam("this_id")
        cls._insert = insert(cls.table)
        cls._change = update(cls.table).where(this)
        cls._delete = delete(cls.table).where(this)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._tags = TagRows(connection)
        self._names = Names(connection)

    def value(self, row: Row[Any], tags: Tags) -> Value:
        """The value that a row stands for."""
        raise NotImplementedError

    def columns(self, value: Value) -> dict[str, Any]:
        """The row that a value becomes."""
        return {name: getattr(value, name) for name in _columns(self.table, value.__class__)}

    def listed(self) -> list[ColumnElement[bool]]:
        """Which rows lists show: all, unless a table says otherwise."""
        return []

    def query(self) -> Select[Any]:
        """Selects whole rows; a table that joins others overrides it."""
        return select(self.table)

    def has_name(self, value: Value) -> bool:
        """Whether its name is one of the region's: always, unless a table says otherwise."""
        return True

    def add(self, value: Value) -> None:
        """Insert the resource with its name and tags."""
        if self.has_name(value):
            self._names.take(value.region, value.name, self.kind, value.id)
        self.connection.execute(self._insert, self.columns(value))
        if value.tags:
            self._tags.replace(value.id, value.tags)

    def remove(self, value: Value) -> None:
        """Delete the resource with its name and tags."""
        if self.has_name(value):
            self._names.free(value.region, value.name)
        self._tags.replace(value.id, {})
        self.connection.execute(self._delete, {"this_id": value.id})

    def change(self, resource_id: str, **columns: Any) -> None:
        """Set columns. Raises MissingRowError: what is there by the caller's rules is not."""
        if not self.change_if_there(resource_id, **columns):
            raise MissingRowError(f"the catalog no longer has the {self.kind} {resource_id}")

    def change_if_there(self, resource_id: str, **columns: Any) -> bool:
        """Set columns of what may have been deleted meanwhile; False if it was."""
        done = self.connection.execute(self._change, {"this_id": resource_id, **columns})
        return bool(done.rowcount)

    def take_to(self, host: str, resource_id: str) -> bool:
        """Put what is on no host on that one; False if it is another's by now, or deleted.

        Of a table that says where things are. Of several hosts that want it at once one has it.
        """
        free = self._change.where(self.table.c.host.in_(["", host]))
        done = self.connection.execute(free, {"this_id": resource_id, "host": host})
        return bool(done.rowcount)

    def by_name(self, region: str, name: str) -> Value | None:
        c = self.table.c
        return self._one(
            "name",
            lambda: [c.region == bindparam("region"), c.name == bindparam("name")],
            {"region": region, "name": name},
        )

    def by_id(self, resource_id: str) -> Value | None:
        return self._one("id", lambda: [self.table.c.id == bindparam("id")], {"id": resource_id})

    def page(self, region: str, after: int, limit: int) -> tuple[list[Value], int | None]:
        """The next values in the order of their making, and where the page after them begins."""
        return self._page(
            "page",
            lambda: [self.table.c.region == bindparam("region"), *self.listed()],
            {"region": region},
            after,
            limit,
        )

    def _page(
        self,
        purpose: str,
        conditions: Conditions,
        asked: Mapping[str, Any],
        after: int,
        limit: int,
    ) -> tuple[list[Value], int | None]:
        statement = self._statement(
            purpose, lambda: [*conditions(), self.table.c.seq > bindparam("after")]
        )
        given = {**asked, "after": after, "limit": limit + 1}
        rows = self.connection.execute(statement, given).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return self.values(rows[:limit]), more

    def back(
        self, before: int | None, limit: int, *conditions: ColumnElement[bool]
    ) -> tuple[list[Value], int | None]:
        """Those that meet the conditions, the last made first, and before what it goes on."""
        seq = self.table.c.seq
        query = self.selected().where(*conditions).order_by(seq.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(seq < before)
        rows = self.connection.execute(query).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return self.values(rows[:limit]), more

    def where(self, *conditions: ColumnElement[bool]) -> list[Value]:
        """All values that meet the conditions, in the order of their making."""
        query = self.selected().where(*conditions).order_by(self.table.c.seq)
        return self.values(self.connection.execute(query).all())

    def all(self) -> list[Value]:
        return self.where()

    def among(self, ids: Iterable[str]) -> list[Value]:
        """Those with these ids that there are.

        In the order of their making; of more than 10,000 only if the ids are in that order.
        """
        asked = list(ids)
        cuts = range(0, len(asked), STATEMENT_IDS)
        pages = (self.where(self.table.c.id.in_(asked[cut : cut + STATEMENT_IDS])) for cut in cuts)
        return [one for page in pages for one in page]

    def held(self, purpose: str, conditions: Conditions, asked: Mapping[str, Any]) -> list[Value]:
        """All values that meet the conditions, as `where` returns them.

        In a transaction that writes nobody else changes them before it ends.
        """
        self._lock(purpose, conditions, asked)
        statement = self._statement(purpose, conditions, limited=False)
        return self.values(self.connection.execute(statement, asked).all())

    def _lock(self, purpose: str, conditions: Conditions, asked: Mapping[str, Any]) -> None:
        """Let nobody change the rows that meet the conditions before this transaction ends.

        In a statement of its own: one that had to wait would read what other tables had before.
        """
        if locks_rows(self.connection):
            statement = self._locking.get(purpose)
            if statement is None:
                ids = select(self.table.c.id).where(*conditions()).order_by(self.table.c.id)
                statement = self._locking[purpose] = ids.with_for_update()
            self.connection.execute(statement, asked).all()

    def _one(self, purpose: str, conditions: Conditions, asked: Mapping[str, Any]) -> Value | None:
        self._lock(purpose, conditions, asked)
        statement = self._statement(purpose, conditions)
        found = self.values(self.connection.execute(statement, {**asked, "limit": 1}).all())
        return found[0] if found else None

    def _statement(
        self, purpose: str, conditions: Conditions, *, limited: bool = True
    ) -> Select[Any]:
        """The statement for a purpose, made once: that takes longer than to execute it.

        If it is limited, then by its parameter `limit`.
        """
        key = (purpose, self.connection.dialect.name)
        statement = self._prepared.get(key)
        if statement is None:
            statement = self.selected().where(*conditions()).order_by(self.table.c.seq)
            if limited:
                statement = statement.limit(bindparam("limit", type_=Integer))
            self._prepared[key] = statement
        return statement

    def selected(self) -> Select[Any]:
        """Selects whole rows, each with all tags of its resource."""
        tags = tags_column(self.table.c.id, self.connection.dialect.name)
        return self.query().add_columns(tags)

    def values(self, rows: Iterable[Row[Any]]) -> list[Value]:
        """The values that rows of `selected` stand for."""
        known, at = self._remembered, self._id_at
        values: list[Value] = []
        for row in rows:
            # Its hash would take longer than all else here.
            whole = tuple(row)
            found = known.get(whole[at])
            if found is not None and found[0] == whole:
                value = found[1]
            else:
                value = self.value(row, read_tags_column(whole[-1]))
                if len(known) >= REMEMBERED_VALUES:
                    known.clear()
                known[whole[at]] = whole, value
            values.append(value)
        return values


@cache
def _columns(table: Table, kind: Any) -> tuple[str, ...]:
    """The members of values of a type that are columns of the table."""
    return tuple(name for name in member_names(kind) if name in table.c)
