"""Rows of upcoming runs of automatic snapshots."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from mooring.catalog.tables import schema
from mooring.model.automatic.rhythm import RHYTHMS_TAG
from mooring.model.automatic.rules import AddOn, AutoRun, AutoSource
from mooring.model.operation import ResourceType

_TABLES = {ResourceType.DISK: schema.disks, ResourceType.INSTANCE: schema.instances}
"""What can have automatic snapshots."""


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
        rows = self._connection.execute(
            select(table).where(table.c.resource_id == resource_id, table.c.enabled)
        )
        return [run_of(row) for row in rows]

    def due(self, now_ms: int) -> list[AutoRun]:
        """Those due, the oldest first; also those farther ahead than a run can be."""
        table = schema.auto_runs
        rows = self._connection.execute(
            select(table)
            .where(table.c.enabled)
            .where(or_(table.c.next_ms <= now_ms, table.c.next_ms - table.c.within_ms > now_ms))
            .order_by(table.c.next_ms, table.c.resource_id, table.c.source)
        )
        return [run_of(row) for row in rows]

    def next_ms(self, after_ms: int) -> int | None:
        """When the next one is due after a moment."""
        table = schema.auto_runs
        query = select(func.min(table.c.next_ms)).where(table.c.enabled, table.c.next_ms > after_ms)
        return self._connection.execute(query).scalar()

    def without_rhythms(self, kind: ResourceType) -> list[tuple[str, str]]:
        """The ids of those resources that follow neither a tag nor the configuration, and where
        they are: their regions."""
        table, runs, tags = _TABLES[kind], schema.auto_runs, schema.tags
        own = select(runs.c.resource_id).where(runs.c.source != AutoSource.ADD_ON)
        tagged = select(tags.c.resource_id).where(tags.c.key == RHYTHMS_TAG)
        rows = self._connection.execute(
            select(table.c.id, table.c.region)
            .where(table.c.id.not_in(own), table.c.id.not_in(tagged))
            .order_by(table.c.seq)
        )
        return [(row.id, row.region) for row in rows]

    def forget_policy_other_than(self, kind: ResourceType, policy: str) -> None:
        """Forget those resources' runs of the configuration as it was before."""
        table = schema.auto_runs
        self._connection.execute(
            delete(table).where(
                table.c.source == AutoSource.CONFIG,
                table.c.policy != policy,
                table.c.resource_id.in_(select(_TABLES[kind].c.id)),
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
