"""Rows of how the last verification of each vault, and the last copying, ended."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from mooring.catalog.tables import schema
from mooring.model.resources.job_kind import JobKind

_table = schema.vault_runs


@dataclass(frozen=True, slots=True)
class VaultRun:
    """A job of a region's vault: when it ended, and how many snapshots it found, or left, bad."""

    region: str
    kind: JobKind
    ended_ms: int
    problems: int


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
                region=run.region, kind=run.kind, ended_ms=run.ended_ms, problems=run.problems
            )
        )

    def all(self) -> list[VaultRun]:
        rows = self._connection.execute(select(_table).order_by(_table.c.region, _table.c.kind))
        return [VaultRun(row.region, JobKind(row.kind), row.ended_ms, row.problems) for row in rows]
