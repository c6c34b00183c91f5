"""Rows of how the last verification of each vault, and the last copying, ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from mooring.catalog.tables import schema
from mooring.model.resources.job_kind import JobKind

_table = schema.vault_runs

DAMAGED_KEPT = 1000
"""Ids of damaged snapshots that are kept."""


@dataclass(frozen=True, slots=True)
class VaultRun:
    """A job of a region's vault: when it ended, and how many snapshots it found, or left, bad.

    Of a verification also when it began, how many per cent of the data it read back, and the ids of
    the damaged snapshots, unless a program entered it that did not tell.
    """

    region: str
    kind: JobKind
    ended_ms: int
    problems: int
    begun_ms: int | None = None
    percent: float | None = None
    damaged: tuple[str, ...] = ()

    def after(self, before: VaultRun | None, is_there: Callable[[str], bool]) -> VaultRun:
        """The same with what is damaged yet: what a run read only in part is no better for that."""
        if before is None or self.percent == 100:
            return self
        left = [one for one in before.damaged if one not in self.damaged and is_there(one)]
        return replace(self, problems=self.problems + len(left), damaged=(*self.damaged, *left))

    def covers(self, completed_ms: int) -> bool:
        """Whether this verification looked at a snapshot that was stored by then."""
        return self.begun_ms is not None and completed_ms <= self.begun_ms


class VaultRuns:
    """The last run of each kind and region."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, run: VaultRun) -> None:
        """Enter a run in place of the one before."""
        c = _table.c
        self._connection.execute(delete(_table).where(c.region == run.region, c.kind == run.kind))
        self._connection.execute(
            insert(_table).values(
                region=run.region,
                kind=run.kind,
                ended_ms=run.ended_ms,
                problems=run.problems,
                begun_ms=run.begun_ms,
                percent=run.percent,
                damaged=json.dumps(run.damaged[:DAMAGED_KEPT]),
            )
        )

    def all(self) -> list[VaultRun]:
        rows = self._connection.execute(select(_table).order_by(_table.c.region, _table.c.kind))
        return [_run(row) for row in rows]

    def of(self, region: str, kind: JobKind) -> VaultRun | None:
        c = _table.c
        query = select(_table).where(c.region == region, c.kind == kind)
        row = self._connection.execute(query).first()
        return None if row is None else _run(row)


def _run(row: Row[Any]) -> VaultRun:
    return VaultRun(
        region=row.region,
        kind=JobKind(row.kind),
        ended_ms=row.ended_ms,
        problems=row.problems,
        begun_ms=row.begun_ms,
        percent=row.percent,
        damaged=tuple(json.loads(row.damaged or "[]")),
    )
