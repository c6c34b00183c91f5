"""Rows of upcoming runs of automatic snapshots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Row,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    tuple_,
    update,
)

from mooring.catalog.locks import locks_rows
from mooring.catalog.tables import schema
from mooring.model.automatic.rhythm import RHYTHMS_TAG
from mooring.model.automatic.rules import AddOn, AutoRun, AutoSource
from mooring.model.operation import ResourceType

_TABLES = {ResourceType.DISK: schema.disks, ResourceType.INSTANCE: schema.instances}
"""What can have automatic snapshots."""


RUNS_AT_ONCE = 500
"""Rows that one statement reads, unless it is told another number."""

_OLDEST_MS = -(2**62)

_table = schema.auto_runs
_start = _table.c.next_ms - _table.c.within_ms


def _next(moment: ColumnElement[int], wanted: ColumnElement[bool]) -> Select[Any]:
    """The first of those wanted that come after one, in the order of a moment."""
    order = (moment, _table.c.resource_id, _table.c.source)
    after = (
        bindparam("after_ms", type_=BigInteger),
        bindparam("after_id", type_=Text),
        bindparam("after_source", type_=Text),
    )
    query = select(_table).where(_table.c.enabled, wanted, tuple_(*order) > tuple_(*after))
    return query.order_by(*order).limit(bindparam("limit", type_=Integer))


_DUE = _next(_table.c.next_ms, _table.c.next_ms <= bindparam("now_ms", type_=BigInteger))
_SET_BACK = _next(_start, _start > bindparam("now_ms", type_=BigInteger))


def _last(table: Table) -> Executable:
    """How many of the next resources there are, up to a limit, and which is the last."""
    following = select(table.c.seq).where(table.c.seq > bindparam("after", type_=BigInteger))
    page = following.order_by(table.c.seq).limit(bindparam("limit", type_=Integer)).subquery()
    return select(func.count(), func.max(page.c.seq)).select_from(page)


def _lacking(table: Table) -> Select[Any]:
    """Which resources have no rhythms."""
    followed = exists().where(
        _table.c.resource_id == table.c.id,
        _table.c.source.in_([AutoSource.TAG, AutoSource.CONFIG]),
    )
    tags = schema.tags.c
    tagged = exists().where(tags.resource_id == table.c.id, tags.key == RHYTHMS_TAG)
    # Those follow the configuration of the server that has them.
    here = [
        table.c.zone.not_in(bindparam("elsewhere", expanding=True, type_=Text)),
        table.c.host.in_(["", bindparam("host", type_=Text)]),
    ]
    query = select(table.c.id, table.c.region).where(~followed, ~tagged, *here)
    return query.order_by(table.c.seq)


_LAST = {kind: _last(table) for kind, table in _TABLES.items()}
_LACKING = {
    kind: _lacking(table).where(
        table.c.seq > bindparam("after", type_=BigInteger),
        table.c.seq <= bindparam("last", type_=BigInteger),
    )
    for kind, table in _TABLES.items()
}
_LACKING_AMONG = {
    kind: _lacking(table).where(table.c.id.in_(bindparam("ids", expanding=True, type_=Text)))
    for kind, table in _TABLES.items()
}


@dataclass(frozen=True, slots=True)
class WithoutRhythms:
    """Ids and regions of resources, and after which one it goes on; None after the last."""

    found: list[tuple[str, str]]
    more: int | None


class AutoRuns:
    """When the next automatic snapshot of each resource is due, by resource and source.

    `stirred`: since this transaction one may be due, or possible, sooner than was known.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.stirred = False

    def stir(self) -> None:
        """Let whoever takes what is due look again once this transaction has ended."""
        self.stirred = True

    def put(self, run: AutoRun) -> None:
        """Enter a run in place of the one of the same resource and source."""
        self.stir()
        self.remove(run.resource_id, run.source)
        self._connection.execute(
            insert(schema.auto_runs).values(
                resource_id=run.resource_id,
                source=run.source,
                region=run.region,
                policy=run.policy,
                next_ms=run.next_ms,
                within_ms=run.within_ms,
                since_ms=run.since_ms,
                enabled=True,
            )
        )

    def put_disabled(self, run: AutoRun) -> None:
        """Enter a run of the add-on that is shown on, but never due."""
        self.put(run)
        self.disable(run.resource_id)

    def disable(self, resource_id: str) -> None:
        """Let nothing be due of the add-on any more, which is shown on."""
        table = schema.auto_runs
        self._connection.execute(
            update(table)
            .where(table.c.resource_id == resource_id, table.c.source == AutoSource.ADD_ON)
            .values(enabled=False)
        )

    def remove(self, resource_id: str, *sources: AutoSource) -> None:
        """Forget the runs of these sources, also disabled; without any, all of the resource."""
        table = schema.auto_runs
        query = delete(table).where(table.c.resource_id == resource_id)
        if sources:
            query = query.where(table.c.source.in_(sources))
        self._connection.execute(query)

    def move(
        self, resource_id: str, source: AutoSource, next_ms: int, within_ms: int | None = None
    ) -> None:
        """Let the next one be due at another time; nothing if there is none to come."""
        table = schema.auto_runs
        self._connection.execute(
            update(table)
            .where(table.c.resource_id == resource_id, table.c.source == source)
            .values({"next_ms": next_ms} | ({} if within_ms is None else {"within_ms": within_ms}))
        )

    def find(self, resource_id: str, source: AutoSource) -> AutoRun | None:
        return next((run for run in self.of(resource_id) if run.source is source), None)

    def of(self, resource_id: str) -> list[AutoRun]:
        """Those to come of the resource."""
        table = schema.auto_runs
        # `enabled` is no condition: SQLite would rather look that up than the resource.
        rows = self._connection.execute(select(table).where(table.c.resource_id == resource_id))
        return [run_of(row) for row in rows if row.enabled]

    def due(
        self, now_ms: int, after: AutoRun | None = None, limit: int = RUNS_AT_ONCE
    ) -> list[AutoRun]:
        """Those due, the oldest first: the first ones, or those that come after one."""
        start = (_OLDEST_MS, "", "") if after is None else (after.next_ms, *_key(after))
        return self._read(_DUE, now_ms, start, limit)

    def set_back(
        self, now_ms: int, after: AutoRun | None = None, limit: int = RUNS_AT_ONCE
    ) -> list[AutoRun]:
        """Those farther ahead than a run can be, as after a clock was set back; as `due`."""
        start = (now_ms + 1, "", "")
        if after is not None:
            start = (after.next_ms - after.within_ms, *_key(after))
        return self._read(_SET_BACK, now_ms, start, limit)

    def _read(
        self, statement: Select[Any], now_ms: int, start: tuple[int, str, str], limit: int
    ) -> list[AutoRun]:
        after = dict(zip(("after_ms", "after_id", "after_source"), start, strict=True))
        rows = self._connection.execute(statement, {"now_ms": now_ms, "limit": limit, **after})
        return [run_of(row) for row in rows]

    def next_ms(self, after_ms: int) -> int | None:
        """When the next one is due after a moment."""
        table = schema.auto_runs
        query = select(func.min(table.c.next_ms)).where(table.c.enabled, table.c.next_ms > after_ms)
        return self._connection.execute(query).scalar()

    def are_more_than(self, count: int) -> bool:
        """Whether there are more of them, of all resources."""
        ids = schema.auto_runs.c.resource_id
        some = select(ids).where(ids > "").limit(count + 1).subquery()
        found = self._connection.execute(select(func.count()).select_from(some)).scalar_one()
        return int(found) > count

    def without_rhythms(
        self,
        kind: ResourceType,
        after: int = 0,
        limit: int = RUNS_AT_ONCE,
        elsewhere: Collection[str] = (),
        host: str = "",
    ) -> WithoutRhythms:
        """Which of the next resources follow neither a tag nor the configuration.

        Those in zones `elsewhere`, and of another host than this, are another's to look after.
        """
        asked: dict[str, Any] = {"after": after, "limit": limit}
        count, last = self._connection.execute(_LAST[kind], asked).one()
        if last is None:
            return WithoutRhythms([], None)
        asked = {"after": after, "last": last, "elsewhere": list(elsewhere), "host": host}
        rows = self._connection.execute(_LACKING[kind], asked)
        found = [(row.id, row.region) for row in rows]
        return WithoutRhythms(found, last if count == limit else None)

    def still_without(
        self, kind: ResourceType, ids: Sequence[str], host: str = ""
    ) -> list[tuple[str, str]]:
        """Those of these resources that follow neither a tag nor the configuration.

        In a transaction that writes nobody gives them either before it ends.
        """
        if locks_rows(self._connection):
            table = _TABLES[kind]
            query = select(table.c.id).where(table.c.id.in_(ids)).order_by(table.c.id)
            self._connection.execute(query.with_for_update()).all()
        asked = {"ids": ids, "elsewhere": [], "host": host}
        rows = self._connection.execute(_LACKING_AMONG[kind], asked)
        return [(row.id, row.region) for row in rows]

    def newest(self, kind: ResourceType) -> int:
        """The last of the resources, for `without_rhythms` to go on from."""
        return self._connection.execute(select(func.max(_TABLES[kind].c.seq))).scalar() or 0

    def forget_policy_other_than(
        self, kind: ResourceType, policy: str, elsewhere: Collection[str] = (), host: str = ""
    ) -> None:
        """Forget those resources' runs of the configuration as it was before.

        Those in zones `elsewhere`, and of another host than this, follow another server's.
        """
        table, bearers = schema.auto_runs, _TABLES[kind]
        # Not `!=`: these two are looked up.
        for other in (table.c.policy < policy, table.c.policy > policy):
            self._connection.execute(
                delete(table).where(
                    table.c.source == AutoSource.CONFIG,
                    other,
                    exists().where(
                        bearers.c.id == table.c.resource_id,
                        bearers.c.zone.not_in(elsewhere),
                        bearers.c.host.in_(["", host]),
                    ),
                )
            )


def with_add_on(query: Select[Any], resource_id: ColumnElement[str]) -> Select[Any]:
    """The query, with the add-on of each row's resource, for `read_add_on`."""
    runs = schema.auto_runs
    is_its = and_(runs.c.resource_id == resource_id, runs.c.source == AutoSource.ADD_ON)
    return query.add_columns(
        runs.c.policy.label("add_on_time"),
        runs.c.next_ms.label("add_on_next_ms"),
        runs.c.enabled.label("add_on_enabled"),
    ).outerjoin(runs, is_its)


def read_add_on(row: Row[Any]) -> AddOn | None:
    """The add-on of a row's resource, None if it never was enabled."""
    if row.add_on_time is None:
        return None
    return AddOn(row.add_on_time, row.add_on_next_ms, bool(row.add_on_enabled))


def _key(run: AutoRun) -> tuple[str, str]:
    return run.resource_id, run.source


def run_of(row: Row[Any]) -> AutoRun:
    """The run in a row."""
    return AutoRun(
        resource_id=row.resource_id,
        source=AutoSource(row.source),
        region=row.region,
        policy=row.policy,
        next_ms=row.next_ms,
        within_ms=row.within_ms,
        since_ms=row.since_ms,
    )
