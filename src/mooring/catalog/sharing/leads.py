"""Which of several servers does what one alone is to do."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, insert, select

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.locks import alone
from mooring.catalog.tables import schema

_table = schema.leads
_this = _table.c.task == bindparam("of_task", type_=Text)
_LEADER = select(_table.c.server, (_table.c.until_ms - LEASE_NOW).label("left_ms")).where(_this)
_FORGET = delete(_table).where(_this)
_BEGIN = insert(_table).values(until_ms=LEASE_NOW + bindparam("lease_ms", type_=BigInteger))


class Leads:
    """Each task has one server for a while. Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, task: str, server: str, lease_ms: int, now_ms: int) -> bool:
        """Have the task for so long, if it is this server's or nobody's; whether it is now."""
        alone(self._connection, f"leads {task}")
        asked = {"of_task": task, "now_ms": now_ms}
        row = self._connection.execute(_LEADER, asked).one_or_none()
        # A clock that was set back shall not keep it for longer.
        if row is not None and row.server != server and 0 < row.left_ms <= lease_ms:
            return False
        self._connection.execute(_FORGET, asked)
        given = {"task": task, "server": server, "lease_ms": lease_ms, "now_ms": now_ms}
        self._connection.execute(_BEGIN, given)
        return True

    def leave(self, task: str, server: str) -> None:
        """Let another server have the task at once."""
        self._connection.execute(
            delete(_table).where(_table.c.task == task, _table.c.server == server)
        )
