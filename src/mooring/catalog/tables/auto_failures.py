"""Rows of automatic snapshots that failed, and the state of each resource's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from mooring.catalog.tables import schema
from mooring.catalog.tables.auto_runs import run_of
from mooring.model.automatic.health import KEPT_FAILURES, AutoFailure, AutoHealth, period_of
from mooring.model.automatic.rules import AutoSource
from mooring.model.operation import ResourceType
from mooring.model.resources.snapshot import SnapshotState

_table = schema.auto_failures
_BEARERS = {ResourceType.DISK: schema.disks, ResourceType.INSTANCE: schema.instances}


class AutoFailures:
    """What failed of automatic snapshots, by resource and source."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, failure: AutoFailure) -> None:
        """Enter a failure, together with an earlier one of the same piece of time."""
        known = next(
            (
                one
                for one in self.of(failure.resource_id, failure.source)
                if one.piece_ms == failure.piece_ms
            ),
            failure,
        )
        attempts = failure.attempts if known is failure else known.attempts + failure.attempts
        self.forget(failure.resource_id, failure.source, failure.piece_ms)
        self._connection.execute(
            insert(_table).values(
                resource_id=failure.resource_id,
                source=failure.source,
                piece_ms=failure.piece_ms,
                first_ms=min(known.first_ms, failure.first_ms),
                last_ms=max(known.last_ms, failure.last_ms),
                attempts=attempts,
                reason=failure.reason,
            )
        )
        for old in self.of(failure.resource_id, failure.source)[:-KEPT_FAILURES]:
            self.forget(old.resource_id, old.source, old.piece_ms)

    def of(self, resource_id: str, *sources: AutoSource) -> list[AutoFailure]:
        """Those of a resource, of these sources, oldest first."""
        rows = self._connection.execute(
            select(_table)
            .where(_table.c.resource_id == resource_id, _table.c.source.in_(sources))
            .order_by(_table.c.piece_ms)
        )
        return [_value(row) for row in rows]

    def forget(self, resource_id: str, source: AutoSource, piece_ms: int) -> None:
        """Forget the one of that piece of time, for it has a snapshot now."""
        self._connection.execute(
            delete(_table).where(
                _table.c.resource_id == resource_id,
                _table.c.source == source,
                _table.c.piece_ms == piece_ms,
            )
        )

    def forget_before(self, resource_id: str, source: AutoSource, end_ms: int) -> None:
        self._connection.execute(
            delete(_table).where(
                _table.c.resource_id == resource_id,
                _table.c.source == source,
                _table.c.last_ms < end_ms,
            )
        )

    def remove(self, resource_id: str, *sources: AutoSource) -> None:
        """Forget those of these sources; without any, all of the resource."""
        query = delete(_table).where(_table.c.resource_id == resource_id)
        if sources:
            query = query.where(_table.c.source.in_(sources))
        self._connection.execute(query)

    def health(self, region: str | None = None, resource_id: str | None = None) -> list[AutoHealth]:
        """How the automatic snapshots are of all that shall have any: of all, or these only."""
        newest = self._newest(resource_id)
        failures: dict[tuple[str, str], list[AutoFailure]] = {}
        query = select(_table).order_by(_table.c.last_ms)
        if resource_id is not None:
            query = query.where(_table.c.resource_id == resource_id)
        for row in self._connection.execute(query):
            failures.setdefault((row.resource_id, row.source), []).append(_value(row))
        found = []
        for kind, bearers in _BEARERS.items():
            runs = schema.auto_runs
            wanted = (
                select(runs, bearers.c.name)
                .join(bearers, bearers.c.id == runs.c.resource_id)
                .where(runs.c.enabled)
                .order_by(bearers.c.seq, runs.c.source)
            )
            if region is not None:
                wanted = wanted.where(bearers.c.region == region)
            if resource_id is not None:
                wanted = wanted.where(bearers.c.id == resource_id)
            for row in self._connection.execute(wanted):
                run = run_of(row)
                stored = newest.get((run.resource_id, run.source is AutoSource.ADD_ON))
                failed = failures.get((run.resource_id, run.source), [])
                since = [one.first_ms for one in failed if one.last_ms > (stored or 0)]
                found.append(
                    AutoHealth(
                        kind=kind,
                        name=row.name,
                        region=run.region,
                        period_ms=period_of(run),
                        since_ms=run.since_ms,
                        next_ms=run.next_ms,
                        newest_ms=stored,
                        failure=failed[-1] if failed else None,
                        failing_ms=min(since, default=None),
                    )
                )
        return found

    def _newest(self, resource_id: str | None) -> dict[tuple[str, bool], int]:
        """The newest that is stored, by resource and whether it is the add-on's."""
        disks, wholes = schema.disk_snapshots, schema.instance_snapshots
        of_disks = (
            select(disks.c.disk_id.label("of"), disks.c.auto, func.max(disks.c.created_ms))
            .where(disks.c.auto.is_not(None), disks.c.state == SnapshotState.COMPLETED)
            .group_by(disks.c.disk_id, disks.c.auto)
        )
        unstored = select(disks.c.part_of).where(
            disks.c.part_of.is_not(None), disks.c.state != SnapshotState.COMPLETED
        )
        of_instances = (
            select(wholes.c.instance_id.label("of"), wholes.c.auto, func.max(wholes.c.created_ms))
            .where(wholes.c.auto.is_not(None), wholes.c.id.not_in(unstored))
            .group_by(wholes.c.instance_id, wholes.c.auto)
        )
        if resource_id is not None:
            of_disks = of_disks.where(disks.c.disk_id == resource_id)
            of_instances = of_instances.where(wholes.c.instance_id == resource_id)
        found: dict[tuple[str, bool], int] = {}
        queries: tuple[Select[Any], ...] = (of_disks, of_instances)
        for query in queries:
            for of, source, moment in self._connection.execute(query):
                key = (of, source == AutoSource.ADD_ON)
                found[key] = max(moment, found.get(key, moment))
        return found


def _value(row: Row[Any]) -> AutoFailure:
    return AutoFailure(
        resource_id=row.resource_id,
        source=AutoSource(row.source),
        piece_ms=row.piece_ms,
        first_ms=row.first_ms,
        last_ms=row.last_ms,
        attempts=row.attempts,
        reason=row.reason,
    )
