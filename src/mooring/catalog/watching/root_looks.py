"""What one server has found in a vault, for the others that use it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.tables import schema

_table = schema.root_looks
_this = _table.c.region == bindparam("of_region", type_=Text)
_FIND = select(_table, (LEASE_NOW - _table.c.seen_ms).label("age_ms")).where(_this)
_ADD = insert(_table).values(seen_ms=LEASE_NOW)
_TOUCH = update(_table).where(_this).values(seen_ms=LEASE_NOW)


@dataclass(frozen=True, slots=True)
class RootLook:
    """How many roots were missing, how many unknown, and why nothing may be written, if so."""

    vault_id: str
    closed: str | None
    missing: int
    unknown: int


class RootLooks:
    """Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, region: str, look: RootLook, now_ms: int) -> None:
        self._connection.execute(delete(_table).where(_this), {"of_region": region})
        columns = {
            "vault_id": look.vault_id,
            "closed": look.closed,
            "missing": look.missing,
            "unknown": look.unknown,
        }
        self._connection.execute(_ADD, {"region": region, **columns, "now_ms": now_ms})

    def touch(self, region: str, now_ms: int) -> None:
        """Say that it is still so."""
        self._connection.execute(_TOUCH, {"of_region": region, "now_ms": now_ms})

    def find(self, region: str, within_ms: int, now_ms: int) -> RootLook | None:
        """What was found, or said to be still so, within that time; a backup has none such."""
        asked = {"of_region": region, "now_ms": now_ms}
        row = self._connection.execute(_FIND, asked).first()
        if row is None or not 0 <= row.age_ms <= within_ms:
            return None
        return RootLook(row.vault_id, row.closed, row.missing, row.unknown)
