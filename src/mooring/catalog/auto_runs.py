"""Rows of the runs of automatic snapshots that are to come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from mooring.catalog import schema
from mooring.model.auto_snapshot import AutoRun, AutoSource
from mooring.model.rhythm import RHYTHMS_TAG


class AutoRuns:
    """When the next automatic snapshot of each disk is due, by disk and source."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, run: AutoRun) -> None:
        """Enter a run in place of the one of the same disk and source."""
        self.remove(run.resource_id, run.source)
        self._connection.execute(
            insert(schema.auto_runs).values(
                resource_id=run.resource_id,
                source=run.source,
                region=run.region,
                policy=run.policy,
                next_ms=run.next_ms,
                within_ms=run.within_ms,
            )
        )

    def remove(self, resource_id: str, *sources: AutoSource) -> None:
        """Forget the runs of these sources; without any, all of the disk."""
        table = schema.auto_runs
        query = delete(table).where(table.c.resource_id == resource_id)
        if sources:
            query = query.where(table.c.source.in_(sources))
        self._connection.execute(query)

    def move(self, resource_id: str, source: AutoSource, next_ms: int) -> None:
        """Let the next one be due at another time; nothing if there is none to come."""
        table = schema.auto_runs
        self._connection.execute(
            update(table)
            .where(table.c.resource_id == resource_id, table.c.source == source)
            .values(next_ms=next_ms)
        )

    def find(self, resource_id: str, source: AutoSource) -> AutoRun | None:
        return next((run for run in self.of(resource_id) if run.source is source), None)

    def of(self, resource_id: str) -> list[AutoRun]:
        table = schema.auto_runs
        rows = self._connection.execute(select(table).where(table.c.resource_id == resource_id))
        return [_value(row) for row in rows]

    def due(self, now_ms: int) -> list[AutoRun]:
        """Those due, the oldest first; also those farther ahead than a run can be."""
        table = schema.auto_runs
        rows = self._connection.execute(
            select(table)
            .where(or_(table.c.next_ms <= now_ms, table.c.next_ms - table.c.within_ms > now_ms))
            .order_by(table.c.next_ms, table.c.resource_id, table.c.source)
        )
        return [_value(row) for row in rows]

    def without_rhythms(self) -> list[str]:
        """The ids of the disks that follow neither a tag nor the configuration."""
        disks, runs, tags = schema.disks, schema.auto_runs, schema.tags
        own = select(runs.c.resource_id).where(runs.c.source != AutoSource.ADD_ON)
        tagged = select(tags.c.resource_id).where(tags.c.key == RHYTHMS_TAG)
        return list(
            self._connection.execute(
                select(disks.c.id)
                .where(disks.c.id.not_in(own), disks.c.id.not_in(tagged))
                .order_by(disks.c.seq)
            ).scalars()
        )

    def forget_policy_other_than(self, policy: str) -> None:
        """Forget the runs of the configuration as it was before."""
        table = schema.auto_runs
        self._connection.execute(
            delete(table).where(table.c.source == AutoSource.CONFIG, table.c.policy != policy)
        )


def _value(row: Row[Any]) -> AutoRun:
    return AutoRun(
        resource_id=row.resource_id,
        source=AutoSource(row.source),
        region=row.region,
        policy=row.policy,
        next_ms=row.next_ms,
        within_ms=row.within_ms,
    )
