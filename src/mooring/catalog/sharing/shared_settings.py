"""Rows of what holds for all servers of a catalog: settings, and zones."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from mooring.catalog.instant import LEASE_NOW
from mooring.catalog.locks import alone
from mooring.catalog.tables import schema

_settings, _zones = schema.shared_settings, schema.zones
_this = _settings.c.name == bindparam("of_name", type_=Text)
_CHANGE = update(_settings).where(_this).values(changed_ms=LEASE_NOW)
_ADD = insert(_settings).values(changed_ms=LEASE_NOW)
_zone = _zones.c.name == bindparam("of_name", type_=Text)
_OTHERS = select(_zones.c.name, _zones.c.region).where(
    _zones.c.server_id != bindparam("server_id", type_=Text)
)


class SharedSettings:
    """Values are JSON, by the name of the setting."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def held(self) -> dict[str, str]:
        """All; nobody else changes them before this transaction ends."""
        alone(self._connection, "shared settings")
        return self.all()

    def all(self) -> dict[str, str]:
        rows = self._connection.execute(select(_settings.c.name, _settings.c.value))
        return {row.name: row.value for row in rows}

    def put(self, values: Mapping[str, str], server: str, now_ms: int) -> None:
        """Have these hold; `server` is the name of the one that says so."""
        for name, value in values.items():
            asked = {"value": value, "server": server, "now_ms": now_ms}
            if not self._connection.execute(_CHANGE, {"of_name": name, **asked}).rowcount:
                self._connection.execute(_ADD, {"name": name, **asked})


class Zones:
    """Each zone is in one region; a server that has disks of it is noted, the first of several."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def held(self) -> dict[str, str]:
        """The region of each; nobody else changes them before this transaction ends."""
        alone(self._connection, "zones")
        rows = self._connection.execute(select(_zones.c.name, _zones.c.region))
        return {row.name: row.region for row in rows}

    def holders(self) -> dict[str, str]:
        """The id of the server of each."""
        rows = self._connection.execute(select(_zones.c.name, _zones.c.server_id))
        return {row.name: row.server_id for row in rows}

    def of_others(self, server_id: str) -> dict[str, str]:
        """The region of each zone that another server has, or had."""
        rows = self._connection.execute(_OTHERS, {"server_id": server_id})
        return {row.name: row.region for row in rows}

    def note(self, server_id: str, zones: Mapping[str, str], others: Mapping[str, str]) -> None:
        """These are the zones of that server now, each with its region.

        Whoever has disks of a zone with it may have noted that already. Zones that it has no more
        pass to whom `others` names for them, by the id.
        """
        for name, holder in self.holders().items():
            if holder != server_id or name in zones:
                continue
            this = _zones.c.name == name
            if name in others:
                self._connection.execute(update(_zones).where(this).values(server_id=others[name]))
            else:
                self._connection.execute(delete(_zones).where(this))
        known = self.holders()
        for name, region in zones.items():
            row = {"name": name, "region": region, "server_id": server_id}
            if name not in known:
                self._connection.execute(insert(_zones), row)
            elif known[name] == server_id:
                self._connection.execute(update(_zones).where(_zones.c.name == name).values(row))
