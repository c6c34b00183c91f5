"""Rows of the secrets with which further servers join: only what proves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Text, bindparam, delete, insert, select

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.tables import schema

_table = schema.join_secrets
_this = _table.c.id == bindparam("this_id", type_=Text)
_ALL = select(_table, LEASE_NOW.label("now_is")).order_by(_table.c.created_ms, _table.c.id)
_FIND = select(_table, LEASE_NOW.label("now_is")).where(_this).with_for_update()
_REMOVE = delete(_table).where(_this)


@dataclass(frozen=True, slots=True)
class JoinSecretRow:
    """A join secret as the catalog knows it.

    `proof` is what a joining server must show to know, `wrapped` the cluster's key under a key that
    follows from the secret. `left_ms` is how long it is good; None: until it is revoked.
    """

    id: str
    proof: str
    wrapped: str
    once: bool
    left_ms: int | None


class JoinSecrets:
    """Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, row: JoinSecretRow, now_ms: int) -> None:
        now = self._connection.execute(select(LEASE_NOW), {"now_ms": now_ms}).scalar_one()
        self._connection.execute(
            insert(_table),
            {
                "id": row.id,
                "proof": row.proof,
                "wrapped": row.wrapped,
                "once": row.once,
                "created_ms": now,
                "ends_ms": None if row.left_ms is None else now + row.left_ms,
            },
        )

    def held(self, secret_id: str, now_ms: int) -> JoinSecretRow | None:
        """The row, which nobody else holds before this transaction ends."""
        found = self._connection.execute(_FIND, {"this_id": secret_id, "now_ms": now_ms}).first()
        return None if found is None else _row(found)

    def all(self, now_ms: int) -> list[JoinSecretRow]:
        return [_row(one) for one in self._connection.execute(_ALL, {"now_ms": now_ms})]

    def remove(self, secret_id: str) -> bool:
        """Whether there was one."""
        return bool(self._connection.execute(_REMOVE, {"this_id": secret_id}).rowcount)


def _row(found: Row[Any]) -> JoinSecretRow:
    left = None if found.ends_ms is None else found.ends_ms - found.now_is
    return JoinSecretRow(found.id, found.proof, found.wrapped, bool(found.once), left)
