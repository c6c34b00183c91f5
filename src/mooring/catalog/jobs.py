"""Rows of jobs, and the lease by which one server takes one."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from mooring.catalog import schema
from mooring.model.job import HELD_MS, LONGEST_WAIT_MS, Job, JobKind


class Jobs:
    """Work after the reply. A job that is done is deleted."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, job: Job) -> None:
        self._connection.execute(
            insert(schema.jobs),
            {
                "id": job.id,
                "kind": job.kind,
                "key": job.key,
                "region": job.region,
                "created_ms": job.created_ms,
                "arguments": json.dumps(dict(job.arguments)),
                "step": job.step,
                "attempts": job.attempts,
                "not_before_ms": job.not_before_ms,
                "undoing": job.undoing,
                "group_id": job.group,
                "owner": None,
                "lease_until_ms": 0,
            },
        )

    def take(
        self,
        owner: str,
        kinds: Collection[JobKind],
        now_ms: int,
        lease_until_ms: int,
        except_ids: Collection[str],
    ) -> Job | None:
        """Lease the oldest job that is due and first in the line of its key.

        `except_ids` are those that the owner runs now: a clock that jumps ahead ends their
        leases, but nobody shall run them twice.
        """
        table = schema.jobs
        before = table.alias("before")
        # Walked in the order of seq: it ends at the first that fits, however many wait.
        waits = exists().where(before.c.key == table.c.key, before.c.seq < table.c.seq)
        row = self._connection.execute(
            select(table)
            .where(
                ~waits,
                table.c.kind.in_(list(kinds)),
                or_(
                    table.c.not_before_ms <= now_ms,
                    table.c.not_before_ms.between(now_ms + LONGEST_WAIT_MS, HELD_MS - 1),
                ),
                table.c.lease_until_ms <= now_ms,
                table.c.id.not_in(list(except_ids)),
            )
            .order_by(table.c.seq)
            .limit(1)
        ).one_or_none()
        if row is None:
            return None
        self._change(row.id, owner=owner, lease_until_ms=lease_until_ms)
        return _value(row)

    def next_due_ms(self, kinds: Collection[JobKind]) -> int | None:
        """When the next job of these kinds that nobody holds may be taken, if there is one."""
        table = schema.jobs
        return self._connection.execute(
            select(func.min(table.c.not_before_ms)).where(
                table.c.kind.in_(list(kinds)), table.c.lease_until_ms == 0
            )
        ).scalar()

    def renew(self, job_id: str, owner: str, lease_until_ms: int) -> bool:
        """Hold the lease longer; False if another server has taken the job."""
        table = schema.jobs
        done = self._connection.execute(
            update(table)
            .where(table.c.id == job_id, table.c.owner == owner)
            .values(lease_until_ms=lease_until_ms)
        )
        return bool(done.rowcount)

    def record(self, job: Job, *, release: bool = False) -> None:
        """Write down how far the job is; with `release` it can be taken again."""
        columns: dict[str, Any] = {
            "step": job.step,
            "attempts": job.attempts,
            "not_before_ms": job.not_before_ms,
            "undoing": job.undoing,
            "error_code": job.error_code,
            "error_details": job.error_details,
        }
        if release:
            columns |= {"owner": None, "lease_until_ms": 0}
        self._change(job.id, **columns)

    def let_go(self, waited_for: str) -> None:
        """Let a held job run, or all of a group."""
        self._connection.execute(update(schema.jobs).where(_of(waited_for)).values(not_before_ms=0))

    def remove(self, job_id: str) -> None:
        self._connection.execute(delete(schema.jobs).where(schema.jobs.c.id == job_id))

    def remove_all(self, waited_for: str) -> None:
        """Forget the job, or all of a group."""
        self._connection.execute(delete(schema.jobs).where(_of(waited_for)))

    def left(self, waited_for: str) -> bool:
        """Whether the job is there, or any of the group."""
        found = self._connection.execute(select(schema.jobs.c.id).where(_of(waited_for)).limit(1))
        return found.first() is not None

    def release_all(self) -> None:
        """Free every lease: the server that held them is gone."""
        self._connection.execute(update(schema.jobs).values(owner=None, lease_until_ms=0))

    def waiting(self, key: str) -> bool:
        """Whether a job of that key has not been begun."""
        table = schema.jobs
        found = self._connection.execute(
            select(table.c.id).where(table.c.key == key, table.c.lease_until_ms == 0).limit(1)
        )
        return found.first() is not None

    def of_kind(self, kind: JobKind) -> list[Job]:
        table = schema.jobs
        rows = self._connection.execute(
            select(table).where(table.c.kind == kind).order_by(table.c.seq)
        )
        return [_value(row) for row in rows]

    def all(self) -> list[Job]:
        rows = self._connection.execute(select(schema.jobs).order_by(schema.jobs.c.seq))
        return [_value(row) for row in rows]

    def by_id(self, job_id: str) -> Job | None:
        row = self._connection.execute(
            select(schema.jobs).where(schema.jobs.c.id == job_id)
        ).one_or_none()
        return None if row is None else _value(row)

    def _change(self, job_id: str, **columns: Any) -> None:
        table = schema.jobs
        self._connection.execute(update(table).where(table.c.id == job_id).values(**columns))


def _of(waited_for: str) -> ColumnElement[bool]:
    return or_(schema.jobs.c.id == waited_for, schema.jobs.c.group_id == waited_for)


def _value(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        kind=JobKind(row.kind),
        key=row.key,
        region=row.region,
        created_ms=row.created_ms,
        arguments=json.loads(row.arguments),
        step=row.step,
        attempts=row.attempts,
        not_before_ms=row.not_before_ms,
        undoing=bool(row.undoing),
        error_code=row.error_code,
        error_details=row.error_details,
        group=row.group_id,
    )
