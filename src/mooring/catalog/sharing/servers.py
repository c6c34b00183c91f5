"""Rows of the servers that use the catalog: who, and when last heard of."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.tables import schema
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import SeenServer, Server

FORGOTTEN_MS = 7 * 24 * 3_600_000
"""A server that was not heard of for so long is forgotten: it is gone for good."""

IMPORTS_LEFT_MS = 10 * 60_000
"""After so long others end a server's imports: who serves the images waits for two minutes."""

_table = schema.servers
_this = _table.c.id == bindparam("server_id")
_FORGET = delete(_table).where(_this)
_FORGET_OLD = delete(_table).where(
    LEASE_NOW - _table.c.seen_ms > bindparam("longer_ms", type_=BigInteger)
)
_BEGIN = insert(_table).values(started_ms=LEASE_NOW, seen_ms=LEASE_NOW, ended=False)
_BEAT = update(_table).where(_this).values(seen_ms=LEASE_NOW)
_END = update(_table).where(_this).values(seen_ms=LEASE_NOW, ended=True)
_jobs = schema.jobs
_ORPHANS = (
    update(_jobs)
    .where(
        _jobs.c.server != "",
        _jobs.c.server.not_in(select(_table.c.id)),
        # What works on a host's disks is nobody else's business, however long it is away.
        _jobs.c.server.not_in(select(schema.hosts.c.id)),
    )
    .values(server="")
)
_LEFT_IMPORTS = and_(
    _jobs.c.kind == JobKind.IMPORT_SNAPSHOT,
    _jobs.c.server != "",
    _jobs.c.server.not_in(
        select(_table.c.id).where(
            LEASE_NOW - _table.c.seen_ms <= bindparam("longer_ms", type_=BigInteger)
        )
    ),
)
_HAS_LEFT = select(_jobs.c.id).where(_LEFT_IMPORTS).limit(1)
_LEAVE_IMPORTS = update(_jobs).where(_LEFT_IMPORTS).values(server="")
_LIVE = (
    select(func.count())
    .select_from(_table)
    .where(
        _table.c.ended.is_(False),
        LEASE_NOW - _table.c.seen_ms <= bindparam("within_ms", type_=BigInteger),
    )
)
_ALL = select(
    _table,
    (LEASE_NOW - _table.c.seen_ms).label("silent_ms"),
    (_table.c.seen_ms - _table.c.started_ms).label("lived_ms"),
).order_by(_table.c.name, _table.c.id)


class Servers:
    """Each server has a row from its first start on. Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, server: Server, now_ms: int) -> None:
        """Enter a server that starts, in place of its former self; forget those long gone."""
        self._connection.execute(_FORGET, {"server_id": server.id})
        columns = {
            "id": server.id,
            "name": server.name,
            "host": server.host,
            "version": server.version,
            "lanes": json.dumps(server.lanes),
        }
        self._connection.execute(_BEGIN, {**columns, "now_ms": now_ms})
        self.forget_gone(now_ms)

    def forget_gone(self, now_ms: int) -> None:
        """Forget those that are gone for good.

        What only those could do is left to others, to fail there rather than to wait for ever.
        """
        self._connection.execute(_FORGET_OLD, {"longer_ms": FORGOTTEN_MS, "now_ms": now_ms})
        self._connection.execute(_ORPHANS)

    def has_left_imports(self, now_ms: int) -> bool:
        """Whether there are imports of servers that were not heard of for long."""
        asked = {"longer_ms": IMPORTS_LEFT_MS, "now_ms": now_ms}
        return self._connection.execute(_HAS_LEFT, asked).first() is not None

    def leave_imports(self, now_ms: int) -> None:
        """Let others end those."""
        asked = {"longer_ms": IMPORTS_LEFT_MS, "now_ms": now_ms}
        self._connection.execute(_LEAVE_IMPORTS, asked)

    def forget(self, server_id: str) -> None:
        """Forget a server; one that lives enters itself again."""
        self._connection.execute(_FORGET, {"server_id": server_id})

    def beat(self, server_id: str, now_ms: int) -> bool:
        """Say that a server lives; False if it was forgotten meanwhile."""
        done = self._connection.execute(_BEAT, {"server_id": server_id, "now_ms": now_ms})
        return bool(done.rowcount)

    def end(self, server_id: str, now_ms: int) -> None:
        """Say that a server has ended in order."""
        self._connection.execute(_END, {"server_id": server_id, "now_ms": now_ms})

    def live(self, within_ms: int, now_ms: int) -> int:
        """How many servers were heard of within that time, and have not ended."""
        asked = {"within_ms": within_ms, "now_ms": now_ms}
        return int(self._connection.execute(_LIVE, asked).scalar_one())

    def all(self, now_ms: int) -> list[SeenServer]:
        """The servers that there are, or were a short while ago, by name."""
        return [_seen(row) for row in self._connection.execute(_ALL, {"now_ms": now_ms})]


def _seen(row: Row[Any]) -> SeenServer:
    server = Server(
        id=row.id,
        name=row.name,
        host=row.host,
        version=row.version,
        lanes=json.loads(row.lanes),
    )
    return SeenServer(server, row.silent_ms, row.lived_ms, bool(row.ended))
