"""Rows of the hosts that disks are on, with their room."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.locks import alone, locks_rows
from mooring.catalog.tables import schema
from mooring.model.resources.host import Host, HostState, SeenHost

COUNTED = 10_000
"""Disks of a host that are counted, at most."""

_table = schema.hosts
_this = _table.c.id == bindparam("host_id")
_INSERT = insert(_table).values(seen_ms=LEASE_NOW)
_CHANGE = update(_table).where(_this)
_FORGET = delete(_table).where(_this)
_BEGIN = _CHANGE.values(
    seen_ms=LEASE_NOW, state=HostState.UP, generation=_table.c.generation + 1
).returning(_table.c.generation)
_OURS = _CHANGE.where(_table.c.generation == bindparam("ours", type_=BigInteger))
_BEAT = _OURS.values(seen_ms=LEASE_NOW)
_END = _OURS.values(seen_ms=LEASE_NOW, state=HostState.ENDED)
_FENCE = _CHANGE.values(state=HostState.FENCED, generation=_table.c.generation + 1)
_REPLACE = _CHANGE.values(generation=_table.c.generation + 1)
_ALL = select(
    _table, (LEASE_NOW - _table.c.seen_ms).label("silent_ms"), LEASE_NOW.label("now_ms")
).order_by(_table.c.name, _table.c.id)
_LOCK = select(_table.c.id).where(_this).with_for_update()


class Hosts:
    """Each host has a row from its first start on. Times are those that leases go by."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, host: Host, now_ms: int) -> int:
        """Enter a host that starts; returns its new generation, by which `beat` knows it."""
        columns = {
            "name": host.name,
            "zones": json.dumps(list(host.zones)),
            "address": host.address,
            "version": host.version,
            # The cluster's key gives it; whoever reads the table shall not.
            "secret": "",
            "shared_zones": json.dumps(list(host.shared_zones)),
        }
        asked = {"host_id": host.id, "now_ms": now_ms}
        found = self._connection.execute(_BEGIN, {**asked, **columns}).scalar()
        if found is not None:
            return int(found)
        new = {"id": host.id, "state": HostState.UP, "generation": 1, "now_ms": now_ms}
        self._connection.execute(_INSERT, {**new, **columns, "capacity_bytes": 0, "free_bytes": 0})
        return 1

    def beat(
        self, host_id: str, generation: int, now_ms: int, *, capacity_bytes: int, free_bytes: int
    ) -> bool:
        """Say that a host lives, and what room it has; False if it was fenced meanwhile."""
        asked = {"host_id": host_id, "ours": generation, "now_ms": now_ms}
        room = {"capacity_bytes": capacity_bytes, "free_bytes": free_bytes}
        return bool(self._connection.execute(_BEAT, {**asked, **room}).rowcount)

    def end(self, host_id: str, generation: int, now_ms: int) -> None:
        """Say that a host has ended in order."""
        self._connection.execute(_END, {"host_id": host_id, "ours": generation, "now_ms": now_ms})

    def fence(self, host_id: str) -> None:
        """Let nothing that the host was count any more."""
        self._connection.execute(_FENCE, {"host_id": host_id})

    def replace(self, host_id: str) -> None:
        """Let a silent host notice, should it wake, that another has its name."""
        self._connection.execute(_REPLACE, {"host_id": host_id})

    def forget(self, host_id: str) -> None:
        """Remove the row of a host that is gone for good, and has nothing."""
        self._connection.execute(_FORGET, {"host_id": host_id})

    def hold(self, host_id: str) -> None:
        """Let the host neither begin nor be fenced before this transaction ends."""
        if locks_rows(self._connection):
            self._connection.execute(_LOCK, {"host_id": host_id}).all()

    def held(self, now_ms: int) -> list[SeenHost]:
        """All of them; no other one begins before this transaction ends."""
        alone(self._connection, "hosts")
        return self.all(now_ms)

    def by_id(self, host_id: str, now_ms: int) -> SeenHost | None:
        """The host of that id, as it is now."""
        return next((one for one in self.all(now_ms) if one.host.id == host_id), None)

    def all(self, now_ms: int) -> list[SeenHost]:
        """All hosts that there ever were, by name."""
        return [_seen(row) for row in self._connection.execute(_ALL, {"now_ms": now_ms})]

    def by_name(self, name: str, now_ms: int) -> SeenHost | None:
        """The host of that name; of several, which were there one after the other, one that is up.

        None if there is none.
        """
        found = [one for one in self.all(now_ms) if one.host.name == name]
        return max(found, key=lambda one: (one.is_up, -one.silent_ms), default=None)

    def count_disks(self, host_id: str) -> int:
        """How many disks the host has, up to a limit."""
        return self._count(_COUNT_DISKS, host_id)

    def count_instances(self, host_id: str) -> int:
        """How many instances the host has, up to a limit."""
        return self._count(_COUNT_INSTANCES, host_id)

    def has_any(self, host_id: str) -> bool:
        """Whether anything is placed on the host."""
        return bool(self.count_disks(host_id) or self.count_instances(host_id))

    def _count(self, statement: Select[Any], host_id: str) -> int:
        asked = {"of_host": host_id, "limit": COUNTED}
        return int(self._connection.execute(statement, asked).scalar_one())


def _counting(table: Any) -> Select[Any]:
    # The index has the hosts that are some.
    some = select(table.c.seq).where(table.c.host == bindparam("of_host"), table.c.host != "")
    limited = some.limit(bindparam("limit", type_=Integer)).subquery()
    return select(func.count()).select_from(limited)


_COUNT_DISKS, _COUNT_INSTANCES = _counting(schema.disks), _counting(schema.instances)


def _seen(row: Row[Any]) -> SeenHost:
    host = Host(
        id=row.id,
        name=row.name,
        zones=json.loads(row.zones),
        address=row.address,
        version=row.version,
        shared_zones=json.loads(row.shared_zones),
    )
    return SeenHost(
        host=host,
        state=HostState(row.state),
        generation=row.generation,
        silent_ms=row.silent_ms,
        read_ms=row.now_ms,
        capacity_bytes=row.capacity_bytes,
        free_bytes=row.free_bytes,
    )
