"""Rows of the secrets that servers share: sealed, each with a version."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Text, bindparam, delete, insert, select, update

from mooring.catalog.locks import alone
from mooring.catalog.tables import schema

_table = schema.shared_secrets
_this = _table.c.name == bindparam("of_name", type_=Text)
_FIND = select(_table).where(_this)
_VERSION = select(_table.c.version).where(_this)
_CHANGE = update(_table).where(_this)
_REMOVE = delete(_table).where(_this)


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """What the catalog has of a secret; each change counts its version up."""

    name: str
    version: int
    sealed: str


class SharedSecrets:
    """Nothing in them can be read without a key that the catalog does not have."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def version(self, name: str) -> int | None:
        """Which version there is, without the secret itself."""
        return self._connection.execute(_VERSION, {"of_name": name}).scalar()

    def find(self, name: str) -> SealedSecret | None:
        row = self._connection.execute(_FIND, {"of_name": name}).first()
        return None if row is None else SealedSecret(row.name, row.version, row.sealed)

    def held(self, name: str) -> SealedSecret | None:
        """As `find`; nobody else holds it, or makes it, before this transaction ends."""
        alone(self._connection, f"shared secret {name}")
        return self.find(name)

    def put(self, secret: SealedSecret) -> None:
        """Enter it, in place of its former version. Only for whoever holds it."""
        columns = {"version": secret.version, "sealed": secret.sealed}
        if not self._connection.execute(_CHANGE, {"of_name": secret.name, **columns}).rowcount:
            self._connection.execute(insert(_table), {"name": secret.name, **columns})

    def remove(self, name: str) -> None:
        self._connection.execute(_REMOVE, {"of_name": name})
