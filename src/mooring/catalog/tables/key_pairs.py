"""Rows of SSH key pairs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from mooring.catalog.tables import schema
from mooring.catalog.tables.rows import ResourceRows
from mooring.model.operation import ResourceType
from mooring.model.resources.key_pair import KeyPair
from mooring.model.tags import Tags


class KeyPairs(ResourceRows[KeyPair]):
    """The public halves of key pairs, with that of a region's own."""

    table = schema.key_pairs
    kind = ResourceType.KEY_PAIR

    def value(self, row: Row[Any], tags: Tags) -> KeyPair:
        return KeyPair(
            id=row.id,
            region=row.region,
            name=row.name,
            created_ms=row.created_ms,
            fingerprint=row.fingerprint,
            public_key=row.public_key,
            tags=tags,
        )
