"""When the servers of a catalog last began what comes around."""

from __future__ import annotations

from sqlalchemy import Connection, Text, bindparam, insert, select, update

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.locks import alone
from mooring.catalog.tables import schema
from mooring.model.resources.job_kind import JobKind

_table = schema.rounds
_this = [
    _table.c.kind == bindparam("of_kind", type_=Text),
    _table.c.region == bindparam("of_region", type_=Text),
]
_PASSED = select(LEASE_NOW - _table.c.begun_ms).where(*_this)
_MOVE = update(_table).where(*_this).values(begun_ms=LEASE_NOW)
_BEGIN = insert(_table).values(begun_ms=LEASE_NOW)


class Rounds:
    """Of several servers one begins each round. Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, kind: JobKind, region: str, every_ms: int, now_ms: int) -> int:
        """Begin a round, and return 0; or return in how many milliseconds one is due."""
        alone(self._connection, f"rounds {kind} {region}")
        asked = {"of_kind": kind, "of_region": region, "now_ms": now_ms}
        passed = self._connection.execute(_PASSED, asked).scalar()
        if passed is None:
            self._connection.execute(_BEGIN, {"kind": kind, "region": region, "now_ms": now_ms})
            return 0
        # A clock that was set back shall not put it off.
        if 0 <= passed < every_ms:
            return every_ms - passed
        self._connection.execute(_MOVE, asked)
        return 0
