"""Rows of automatic snapshots that failed, and the state of each resource's."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    insert,
    or_,
    select,
)

from mooring.catalog.tables import schema
from mooring.catalog.tables.auto_runs import run_of
from mooring.catalog.tables.tags import STATEMENT_IDS
from mooring.model.automatic.health import KEPT_FAILURES, AutoFailure, AutoHealth, period_of
from mooring.model.automatic.rules import AutoSource
from mooring.model.operation import ResourceType
from mooring.model.resources.snapshot import SnapshotState

_table = schema.auto_failures
_BEARERS = {ResourceType.DISK: schema.disks, ResourceType.INSTANCE: schema.instances}


_runs, _disks, _wholes = schema.auto_runs, schema.disk_snapshots, schema.instance_snapshots


def _of_its_group(auto: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a snapshot is the add-on's as the run is, or neither is."""
    add_on = AutoSource.ADD_ON
    return or_(
        and_(auto == add_on, _runs.c.source == add_on),
        and_(auto != add_on, _runs.c.source != add_on),
    )


_unstored = (
    exists()
    .where(_disks.c.part_of == _wholes.c.id, _disks.c.state != SnapshotState.COMPLETED)
    .correlate(_wholes)
)
_NEWEST = {
    # Looked up for each run: there may be far more snapshots than runs.
    ResourceType.DISK: select(_disks.c.created_ms)
    .where(
        _disks.c.disk_id == _runs.c.resource_id,
        _disks.c.state == SnapshotState.COMPLETED,
        _of_its_group(_disks.c.auto),
    )
    .order_by(_disks.c.seq.desc())
    .limit(1)
    .correlate(_runs)
    .scalar_subquery(),
    ResourceType.INSTANCE: select(_wholes.c.created_ms)
    .where(
        _wholes.c.instance_id == _runs.c.resource_id,
        _wholes.c.auto.is_not(None),
        _of_its_group(_wholes.c.auto),
        ~_unstored,
    )
    .order_by(_wholes.c.seq.desc())
    .limit(1)
    .correlate(_runs)
    .scalar_subquery(),
}
"""When the newest was taken that is stored, of a run's resource and source."""


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

    def bearers(self, limit: int) -> list[str]:
        """The ids of resources of which something failed; not more than so many."""
        rows = self._connection.execute(
            select(_table.c.resource_id).where(_table.c.resource_id > "").distinct().limit(limit)
        )
        return list(rows.scalars())

    def health(
        self, region: str | None = None, of: Collection[str] | None = None
    ) -> list[AutoHealth]:
        """How the automatic snapshots are of all that shall have any: of all, or these only."""
        if of is None:
            return self._health(region, None)
        ids = list(of)
        cuts = range(0, len(ids), STATEMENT_IDS)
        return [one for cut in cuts for one in self._health(region, ids[cut : cut + STATEMENT_IDS])]

    def _health(self, region: str | None, ids: list[str] | None) -> list[AutoHealth]:
        failures: dict[tuple[str, str], list[AutoFailure]] = {}
        query = select(_table).order_by(_table.c.last_ms)
        if ids is not None:
            query = query.where(_table.c.resource_id.in_(ids))
        for row in self._connection.execute(query):
            failures.setdefault((row.resource_id, row.source), []).append(_value(row))
        found = []
        for kind, bearers in _BEARERS.items():
            wanted = (
                select(_runs, bearers.c.name, _NEWEST[kind].label("newest_ms"))
                .join(bearers, bearers.c.id == _runs.c.resource_id)
                .order_by(bearers.c.seq, _runs.c.source)
            )
            if region is not None:
                wanted = wanted.where(bearers.c.region == region)
            if ids is not None:
                wanted = wanted.where(_runs.c.resource_id.in_(ids))
            for row in self._connection.execute(wanted):
                # No condition: SQLite would rather look that up than the resources.
                if not row.enabled:
                    continue
                run = run_of(row)
                failed = failures.get((run.resource_id, run.source), [])
                since = [one.first_ms for one in failed if one.last_ms > (row.newest_ms or 0)]
                found.append(
                    AutoHealth(
                        kind=kind,
                        name=row.name,
                        region=run.region,
                        period_ms=period_of(run),
                        since_ms=run.since_ms,
                        next_ms=run.next_ms,
                        newest_ms=row.newest_ms,
                        failure=failed[-1] if failed else None,
                        failing_ms=min(since, default=None),
                    )
                )
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
