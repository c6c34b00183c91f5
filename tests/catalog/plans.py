"""The statements that a catalog executes, and how the database goes about them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, event

from mooring.catalog.connections import connect
from mooring.catalog.tables.schema import metadata

_SMALL = {
    *("vaults", "vault_runs", "migrations", "servers", "leads", "room_samples"),
    *("troubles", "trouble_tellings"),
}
"""Tables that have a few rows however large the catalog is, unless very much is wrong."""

_PARTIAL = {"disk_snapshots_lost", "disk_snapshots_blueprints", "static_ips_by_region"}
"""Indexes by region that have a few rows however many snapshots or instances it has."""

TABLES = metadata.tables.keys() - _SMALL

_SQLITE_SCAN = re.compile(r"^(?:SCAN (\w+)|SEARCH (\w+) .*\((?:region|state|enabled)=\?\)$)")
"""Most catalogs have one region, or few; most snapshots are completed, and most runs enabled."""

_RARE = {"pending", "error"}

_POSTGRESQL_SCAN = re.compile(r"Seq Scan on (\w+)")


@dataclass(slots=True)
class Executed:
    """A statement, with the parameters that it was given last, and its times in seconds."""

    text: str
    parameters: Mapping[str, Any] | Sequence[Any]
    seconds: list[float] = field(default_factory=list)

    @property
    def values(self) -> list[Any]:
        """What the parameters are, by name or in order."""
        given = self.parameters
        return list(given.values() if isinstance(given, Mapping) else given)

    @property
    def tables(self) -> dict[str, str]:
        """The tables by the names under which the statement reads them."""
        found = {}
        for table in TABLES:
            found[table] = table
            for match in re.finditer(rf"\b{table} AS (\w+)", self.text):
                found[match[1]] = table
        return found


@contextmanager
def recorded() -> Iterator[dict[str, Executed]]:
    """What is executed by any catalog of this process meanwhile, by text."""
    found: dict[str, Executed] = {}
    began: list[float] = []

    def before(*_: object) -> None:
        began.append(time.perf_counter())

    def after(_connection: object, _cursor: object, text: str, parameters: Any, *_: object) -> None:
        taken = time.perf_counter() - began.pop()
        one = found.setdefault(text, Executed(text, parameters))
        one.parameters = parameters
        one.seconds.append(taken)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)


def scans(url: str, statements: Sequence[Executed]) -> dict[str, list[str]]:
    """Those that read a whole table, or a whole index of one, with what they read so."""
    engine = connect(url)
    found = {}
    try:
        with engine.connect() as connection:
            sqlite = engine.dialect.name == "sqlite"
            explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            for one in statements:
                if not re.match(r"\s*(SELECT|UPDATE|DELETE|WITH)\b", one.text):
                    continue
                if isinstance(one.parameters, list):
                    continue  # the rows of an insert
                plan = connection.exec_driver_sql(explain + one.text, one.parameters)
                lines = [str(row[-1]) for row in plan]
                if sqlite and _ends_early(one.text, lines):
                    continue
                pattern = _SQLITE_SCAN if sqlite else _POSTGRESQL_SCAN
                whole = [
                    line
                    for line in lines
                    if (match := pattern.search(line))
                    and not ("(state=?)" in line and _RARE.intersection(one.values))
                    and any(map(one.tables.get, match.groups()))
                    and _PARTIAL.isdisjoint(line.split())
                ]
                if whole:
                    found[one.text] = whole
            if not sqlite:
                connection.rollback()
    finally:
        engine.dispose()
    return found


def _ends_early(text: str, plan: Sequence[str]) -> bool:
    """Whether a page is read that lies together in an index, in its order."""
    looked_up = not any(line.startswith("SCAN") for line in plan)
    return looked_up and " LIMIT " in text and not any("TEMP B-TREE" in line for line in plan)
