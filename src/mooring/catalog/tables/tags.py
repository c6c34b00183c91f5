"""Rows of tags, for any resource."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    select,
)

from mooring.catalog.tables import schema
from mooring.model.tags import Tags

STATEMENT_IDS = 10_000
"""Ids that one statement asks for: SQLite takes 32,766 parameters, PostgreSQL 65,535."""

_DELETE = delete(schema.tags).where(schema.tags.c.resource_id == bindparam("of"))
_INSERT = insert(schema.tags)


class TagRows:
    """The tags of each resource."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, resource_ids: Iterable[str]) -> dict[str, dict[str, str | None]]:
        """Tags by resource id; each id asked for is in the answer."""
        table = schema.tags
        found: dict[str, dict[str, str | None]] = {key: {} for key in resource_ids}
        asked = list(found)
        for start in range(0, len(asked), STATEMENT_IDS):
            ids = asked[start : start + STATEMENT_IDS]
            rows = self._connection.execute(
                select(table).where(table.c.resource_id.in_(ids)).order_by(table.c.key)
            )
            for row in rows:
                found[row.resource_id][row.key] = row.value
        return found

    def replace(self, resource_id: str, tags: Tags) -> None:
        """Make these the resource's tags."""
        self._connection.execute(_DELETE, {"of": resource_id})
        if tags:
            rows = [{"resource_id": resource_id, "key": k, "value": v} for k, v in tags.items()]
            self._connection.execute(_INSERT, rows)

    def remove(self, resource_id: str, keys: Iterable[str]) -> None:
        """Forget these keys; a client may name more of them than a statement can."""
        gone = set(keys)
        tags = self.of([resource_id])[resource_id]
        self.replace(resource_id, {key: tags[key] for key in tags if key not in gone})


def tags_column(resource_id: ColumnElement[str], dialect: str) -> ColumnElement[Any]:
    """All tags of a row's resource as one text, for `read_tags_column`: one statement, not two."""
    table = schema.tags
    if dialect == "sqlite":
        pairs: ColumnElement[Any] = func.json_group_array(
            func.json_array(table.c.key, table.c.value)
        )
    else:
        pairs = cast(func.json_agg(func.json_build_array(table.c.key, table.c.value)), Text)
    return (
        select(pairs).where(table.c.resource_id == resource_id).scalar_subquery().label("all_tags")
    )


def read_tags_column(text: str | None) -> dict[str, str | None]:
    """The tags, sorted by their keys."""
    pairs: list[tuple[str, str | None]] = json.loads(text) if text else []
    return dict(sorted(pairs))
