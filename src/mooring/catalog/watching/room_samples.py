"""Rows of how full file systems were."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, func, insert, select

from mooring.catalog.tables import schema
from mooring.model.forecast import KEPT_MS, Sample

_table = schema.room_samples


class RoomSamples:
    """What was free, by server and by what the file system is used for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def newest_ms(self, server: str) -> int | None:
        """When the server's last ones were taken."""
        query = select(func.max(_table.c.at_ms)).where(_table.c.server == server)
        return self._connection.execute(query).scalar()

    def add(self, server: str, free_bytes: Mapping[str, int], now_ms: int) -> None:
        """Enter what is free now, by use, and forget what is too old to count."""
        self._connection.execute(delete(_table).where(_table.c.at_ms < now_ms - KEPT_MS))
        # What a clock that was set back left ahead would count for ever.
        self._connection.execute(
            delete(_table).where(_table.c.server == server, _table.c.at_ms >= now_ms)
        )
        rows = [
            {"server": server, "used_for": use, "at_ms": now_ms, "free_bytes": free}
            for use, free in free_bytes.items()
        ]
        if rows:
            self._connection.execute(insert(_table), rows)

    def of(self, server: str) -> dict[str, list[Sample]]:
        """A server's samples by use, the oldest first."""
        query = select(_table).where(_table.c.server == server).order_by(_table.c.at_ms)
        found: dict[str, list[Sample]] = {}
        for row in self._connection.execute(query):
            found.setdefault(row.used_for, []).append(Sample(row.at_ms, row.free_bytes))
        return found
