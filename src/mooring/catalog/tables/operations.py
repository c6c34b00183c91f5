"""Rows of operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Row,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from mooring.catalog.tables import schema
from mooring.model.operation import Operation, OperationStatus, ResourceType

_table = schema.operations
_ADD = insert(_table)
_FINISH = update(_table).where(
    _table.c.job_id == bindparam("of_job"), _table.c.status == OperationStatus.STARTED
)

_ENDED = (OperationStatus.SUCCEEDED, OperationStatus.FAILED)
_NEXT = (
    select(_table.c.seq, _table.c.status, _table.c.created_ms, _table.c.changed_ms)
    .where(_table.c.seq > bindparam("after", type_=BigInteger))
    .order_by(_table.c.seq)
    .limit(bindparam("limit", type_=Integer))
)
_FORGET = delete(_table).where(_table.c.seq.in_(bindparam("seqs", expanding=True)))

_COLUMNS = [one.name for one in fields(Operation)]


@dataclass(frozen=True, slots=True)
class OldOperations:
    """Some rows looked at in the order of their making: the last, and those to forget.

    `more`: others that follow may be old, too.
    """

    last: int
    seqs: Sequence[int]
    more: bool


class Operations:
    """What requests have set going, and how it ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, operations: Iterable[Operation]) -> None:
        # Not `asdict`, which copies what cannot change.
        rows = [{name: getattr(one, name) for name in _COLUMNS} for one in operations]
        self._connection.execute(_ADD, rows)

    def remove_of_job(self, job_id: str) -> None:
        """Forget the operations of a request that failed."""
        self._connection.execute(
            delete(schema.operations).where(schema.operations.c.job_id == job_id)
        )

    def by_id(self, operation_id: str) -> Operation | None:
        table = schema.operations
        row = self._connection.execute(
            select(table).where(table.c.id == operation_id)
        ).one_or_none()
        return None if row is None else operation_of(row)

    def waiting_for(self, job_id: str) -> list[Operation]:
        """Those that end with the job, or the group of jobs."""
        query = select(_table).where(_table.c.job_id == job_id).order_by(_table.c.seq)
        return [operation_of(row) for row in self._connection.execute(query)]

    def finish(
        self,
        job_id: str,
        now_ms: int,
        error_code: str | None = None,
        error_details: str | None = None,
    ) -> None:
        """End what the job, or group of jobs, was for: as Failed with a code, else as Succeeded."""
        status = OperationStatus.SUCCEEDED if error_code is None else OperationStatus.FAILED
        self._connection.execute(
            _FINISH,
            {
                "of_job": job_id,
                "status": status,
                "changed_ms": now_ms,
                "error_code": error_code,
                "error_details": error_details,
            },
        )

    def page(
        self, region: str, before: int | None, limit: int, resource_name: str | None = None
    ) -> tuple[list[Operation], int | None]:
        """The next operations, newest first, and where the page after them begins."""
        table = schema.operations
        query = select(table).where(table.c.region == region)
        if resource_name is not None:
            query = query.where(table.c.resource_name == resource_name)
        if before is not None:
            query = query.where(table.c.seq < before)
        rows = self._connection.execute(query.order_by(table.c.seq.desc()).limit(limit + 1)).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return [operation_of(row) for row in rows[:limit]], more

    def old(self, after: int, limit: int, before_ms: int) -> OldOperations:
        """Which of the next rows after a seq ended before a moment.

        None are old any more after so many in a row that were begun later.
        """
        rows = self._connection.execute(_NEXT, {"after": after, "limit": limit}).all()
        seqs = [row.seq for row in rows if row.status in _ENDED and row.changed_ms < before_ms]
        more = len(rows) == limit and any(row.created_ms < before_ms for row in rows)
        return OldOperations(rows[-1].seq if rows else after, seqs, more)

    def forget(self, seqs: Sequence[int]) -> None:
        """Forget rows that `old` has found."""
        self._connection.execute(_FORGET, {"seqs": list(seqs)})


def operation_of(row: Row[Any]) -> Operation:
    """The operation of a row."""
    return Operation(
        id=row.id,
        region=row.region,
        zone=row.zone,
        resource_id=row.resource_id,
        resource_name=row.resource_name,
        resource_type=ResourceType(row.resource_type),
        type=row.type,
        details=row.details,
        status=OperationStatus(row.status),
        created_ms=row.created_ms,
        changed_ms=row.changed_ms,
        error_code=row.error_code,
        error_details=row.error_details,
        job_id=row.job_id,
    )
