"""Rows that say which vault a region has, and what copies there are."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from mooring.catalog.tables import schema

_ITSELF = ""


class VaultRows:
    """The ids of vaults, by region, and of their copies, by region and place."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_region(self, region: str) -> str | None:
        """The id of the region's vault; None as long as it has none."""
        return self._find(region, _ITSELF)

    def of_copy(self, region: str, place: str) -> str | None:
        """The id of the vault that the place had a whole copy of; None if it had none yet."""
        return self._find(region, place)

    def region_of(self, vault_id: str) -> str | None:
        """The region whose vault that is."""
        table = schema.vaults
        query = select(table.c.region).where(table.c.copy == _ITSELF, table.c.vault_id == vault_id)
        return self._connection.execute(query).scalar()

    def note(self, region: str, vault_id: str, now_ms: int) -> None:
        """Remember the region's vault, in place of another."""
        self._put(region, _ITSELF, vault_id, now_ms)

    def note_copy(self, region: str, place: str, vault_id: str, now_ms: int) -> None:
        """Remember that the place has a whole copy of that vault."""
        self._put(region, place, vault_id, now_ms)

    def _find(self, region: str, copy: str) -> str | None:
        table = schema.vaults
        query = select(table.c.vault_id).where(table.c.region == region, table.c.copy == copy)
        return self._connection.execute(query).scalar()

    def _put(self, region: str, copy: str, vault_id: str, now_ms: int) -> None:
        table = schema.vaults
        self._connection.execute(
            delete(table).where(table.c.region == region, table.c.copy == copy)
        )
        self._connection.execute(
            insert(table).values(region=region, copy=copy, vault_id=vault_id, noted_ms=now_ms)
        )
