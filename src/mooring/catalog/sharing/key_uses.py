"""Rows of when access keys were last used, at whichever server."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import BigInteger, Connection, Text, bindparam, delete, insert, select, update

from mooring.catalog.locks import alone
from mooring.catalog.tables import schema

_table = schema.key_uses
_this = _table.c.key_id == bindparam("of_key", type_=Text)
_newer = _table.c.used_ms < bindparam("at_ms", type_=BigInteger)
_CHANGE = update(_table).where(_this, _newer).values(used_ms=bindparam("at_ms"))
_ADD = insert(_table)


class KeyUses:
    """Milliseconds by the servers' clocks, by the id of the key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> dict[str, int]:
        rows = self._connection.execute(select(_table))
        return {row.key_id: row.used_ms for row in rows}

    def enter(self, used: Mapping[str, int], known: Collection[str]) -> None:
        """Enter uses, unless newer ones are known; forget keys that are not `known` any more."""
        alone(self._connection, "key uses")
        before = self.all()
        for key_id, at_ms in used.items():
            if key_id in before:
                self._connection.execute(_CHANGE, {"of_key": key_id, "at_ms": at_ms})
            else:
                self._connection.execute(_ADD, {"key_id": key_id, "used_ms": at_ms})
        for key_id in before.keys() - set(known):
            self._connection.execute(delete(_table).where(_table.c.key_id == key_id))
