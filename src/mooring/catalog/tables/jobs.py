"""Rows of jobs, and the lease by which one server takes one."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from mooring.catalog.tables import schema
from mooring.model.errors import LeaseLostError
from mooring.model.resources.job import HELD_MS, LONGEST_WAIT_MS, Job, JobKind

# Statements are made once: to make one takes longer than to execute it.

_table, _before = schema.jobs, schema.jobs.alias("before")

_waits = exists().where(_before.c.key == _table.c.key, _before.c.seq < _table.c.seq)
"""Whether a job is not the first in the line of its key."""

_of_kinds = _table.c.kind.in_(bindparam("kinds", expanding=True, type_=Text))
_now: ColumnElement[int] = bindparam("now_ms", type_=BigInteger)
_of = or_(_table.c.id == bindparam("waited_for"), _table.c.group_id == bindparam("waited_for"))

# Walked in the order of seq: it ends at the first that fits, however many wait.
_TAKE = (
    select(_table)
    .where(
        ~_waits,
        _of_kinds,
        or_(
            _table.c.not_before_ms <= _now,
            _table.c.not_before_ms.between(_now + LONGEST_WAIT_MS, HELD_MS - 1),
        ),
        _table.c.lease_until_ms <= _now,
        _table.c.id.not_in(bindparam("except_ids", expanding=True, type_=Text)),
    )
    .order_by(_table.c.seq)
    .limit(1)
)
_NEXT_DUE = select(func.min(_table.c.not_before_ms)).where(
    _of_kinds, _table.c.lease_until_ms == 0, ~_waits
)
_FIRST_IN_LINE = (
    select(_table.c.kind).where(_table.c.key == bindparam("key")).order_by(_table.c.seq).limit(1)
)
_ADD = insert(_table)
_CHANGE = update(_table).where(_table.c.id == bindparam("job_id"))
_OURS = _table.c.owner.is_not_distinct_from(bindparam("whose", type_=Text))
_RECORD = _CHANGE.where(_OURS)
_CONFIRM = update(_table).where(_of).values(not_before_ms=0).returning(_table.c.kind)
_LEFT = select(_table.c.id).where(_of).limit(1)
_REMOVE = delete(_table).where(_table.c.id == bindparam("job_id"), _OURS)
_REMOVE_ALL = delete(_table).where(_of).returning(_table.c.key)


class Jobs:
    """Work after the reply. A job that is done is deleted.

    `runnable` has the kinds of the jobs that could be run since this transaction, one for each.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.runnable: list[JobKind] = []

    def add(self, job: Job) -> None:
        if job.not_before_ms != HELD_MS:
            self.runnable.append(job.kind)
        self._connection.execute(
            _ADD,
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
        asked = {"now_ms": now_ms, "kinds": list(kinds), "except_ids": list(except_ids)}
        row = self._connection.execute(_TAKE, asked).one_or_none()
        if row is None:
            return None
        leased = {"job_id": row.id, "owner": owner, "lease_until_ms": lease_until_ms}
        self._connection.execute(_CHANGE, leased)
        return _value(row)

    def next_due_ms(self, kinds: Collection[JobKind]) -> int | None:
        """When the next job of these kinds may be taken that nobody holds and none precedes."""
        return self._connection.execute(_NEXT_DUE, {"kinds": list(kinds)}).scalar()

    def renew(self, job_id: str, owner: str, lease_until_ms: int) -> bool:
        """Hold the lease longer; False if another server has taken the job."""
        table = schema.jobs
        done = self._connection.execute(
            update(table)
            .where(table.c.id == job_id, table.c.owner == owner)
            .values(lease_until_ms=lease_until_ms)
        )
        return bool(done.rowcount)

    def record(self, job: Job, owner: str | None, *, release: bool = False) -> None:
        """Write down how far the job is; with `release` it can be taken again.

        `owner` is whoever took it; None for a job that nobody has. Raises LeaseLostError if it is
        not that owner's any more: what the transaction records with it must not be.
        """
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
        done = self._connection.execute(_RECORD, {"job_id": job.id, "whose": owner, **columns})
        _check_ours(job, done.rowcount)

    def confirm(self, waited_for: str) -> None:
        """Let a held job run, or all of a group."""
        kinds = self._connection.execute(_CONFIRM, {"waited_for": waited_for}).scalars()
        self.runnable += map(JobKind, kinds)

    def remove(self, job: Job, owner: str | None) -> None:
        """Forget a job that has ended. Raises LeaseLostError as `record` does."""
        done = self._connection.execute(_REMOVE, {"job_id": job.id, "whose": owner})
        _check_ours(job, done.rowcount)
        self._moved_up(job.key)

    def remove_all(self, waited_for: str) -> None:
        """Forget the job, or all of a group."""
        keys = self._connection.execute(_REMOVE_ALL, {"waited_for": waited_for}).scalars().all()
        for key in keys:
            self._moved_up(key)

    def left(self, waited_for: str) -> bool:
        """Whether the job is there, or any of the group."""
        return self._connection.execute(_LEFT, {"waited_for": waited_for}).first() is not None

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
        return self.of_kinds([kind])

    def of_kinds(self, kinds: Collection[JobKind]) -> list[Job]:
        """The jobs of these kinds, in the order of their making."""
        table = schema.jobs
        rows = self._connection.execute(
            select(table).where(table.c.kind.in_(kinds)).order_by(table.c.seq)
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

    def _moved_up(self, key: str) -> None:
        """Another job is the first in that line now, if there is one."""
        kind = self._connection.execute(_FIRST_IN_LINE, {"key": key}).scalar()
        if kind is not None:
            self.runnable.append(JobKind(kind))


def _check_ours(job: Job, changed: int) -> None:
    if not changed:
        raise LeaseLostError(
            f"the job {job.id} ({job.kind}) was taken by another server, or removed"
        )


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
