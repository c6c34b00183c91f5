"""Fills a catalog with as many rows as a large installation has."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from mooring.catalog.connections import connect
from mooring.model.automatic.rhythm import DAY_MS
from tests.service.world import REGION, ZONE

PENDING = 20
FAILED = 5
POLICY = "daily keep 1 week"

_ID_OF = """
CREATE FUNCTION id_of(given TEXT) RETURNS TEXT IMMUTABLE LANGUAGE SQL
AS 'SELECT CAST(CAST(md5(given) AS UUID) AS TEXT)'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How many disks, and snapshots of each; the rest follows.

    Every fourth snapshot is automatic, and each disk has a rhythm of its own. The last tenth of
    the disks is attached, each to an instance of its own that has a snapshot. Of each snapshot
    there are two operations. A few snapshots are pending, failed or lost.
    """

    disks: int
    snapshots: int = 3

    @property
    def instances(self) -> int:
        """There are not more addresses than that."""
        return max(1, min(self.disks // 10, 50_000))


def fill(url: str, amount: Amount, now_ms: int) -> None:
    """Enter the rows into an empty catalog; what is due automatically is so from now on."""
    engine = connect(url)
    sqlite = engine.dialect.name == "sqlite"
    try:
        with engine.connect() as connection:
            if sqlite:
                driver = connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                driver.create_function("id_of", 1, _id_of, deterministic=True)
                connection.exec_driver_sql("PRAGMA synchronous = OFF")
                connection.exec_driver_sql("PRAGMA cache_size = -1000000")
                connection.exec_driver_sql("BEGIN")
            else:
                connection.exec_driver_sql(_ID_OF)
            indexes = _without_indexes(connection)
            _fill(connection, amount, now_ms)
            for index in indexes:
                connection.exec_driver_sql(index)
            if sqlite:
                connection.exec_driver_sql("COMMIT")
                # Otherwise whoever commits next does it.
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            else:
                connection.exec_driver_sql("DROP FUNCTION id_of")
                connection.commit()
        if not sqlite:
            # As its own process does it before long.
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
    finally:
        engine.dispose()


def _without_indexes(connection: Connection) -> list[str]:
    """Drop what is not part of a table: made in the end it takes less time. Returns how."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
            "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        )
    found = connection.exec_driver_sql(query).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [how for _, how in found]


def disk_id(number: int) -> str:
    """The id of a disk, counted from 1."""
    return _id_of(f"d{number}")


def _id_of(text: str) -> str:
    return str(UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()))


def _id(kind: str, number: str = "i") -> str:
    """An id that is as random as ids are, for a number of rows of that kind."""
    return f"id_of('{kind}' || ({number}))"


def _insert(connection: Connection, table: str, count: int, **columns: Any) -> None:
    """Insert rows numbered i, from 1."""
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) "
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        f"SELECT {', '.join(map(str, columns.values()))} FROM n"
    )
    if connection.dialect.name != "sqlite":
        statement = statement.replace("%", "%%")
    connection.exec_driver_sql(statement)


def _fill(connection: Connection, amount: Amount, now_ms: int) -> None:
    disks, instances, snapshots = amount.disks, amount.instances, amount.disks * amount.snapshots
    region, past = f"'{REGION}'", now_ms - 30 * DAY_MS
    free = disks - instances
    attached = f"i > {free}"
    resource = {"region": region, "created_ms": past, "support_code": "'000000000000/x'"}
    instance = {"zone": f"'{ZONE}'", "blueprint_id": "'external'", "bundle_id": "'external'"}
    _insert(connection, "names", instances, region=region, name="'instance-' || i",
            resource_type="'Instance'", resource_id=_id("i"))  # fmt: skip
    _insert(connection, "instances", instances, id=_id("i"), name="'instance-' || i", **resource,
            **instance, state="'running'", ip_address_type="'ipv4'", slot="i - 1")  # fmt: skip
    _insert(connection, "names", disks, region=region, name="'disk-' || i",
            resource_type="'Disk'", resource_id=_id("d"))  # fmt: skip
    _insert(connection, "disks", disks, id=_id("d"), name="'disk-' || i", **resource,
            zone=f"'{ZONE}'", size_gb=8, path=f"CASE WHEN {attached} THEN '/dev/xvdf' END",
            state=f"CASE WHEN {attached} THEN 'in-use' ELSE 'available' END",
            attachment=f"CASE WHEN {attached} THEN 'attached' ELSE 'detached' END",
            instance_id=f"CASE WHEN {attached} THEN {_id('i', f'i - {free}')} END")  # fmt: skip
    _insert(connection, "tags", disks, resource_id=_id("d"), key="'team'", value="'t' || (i % 50)")
    _insert(connection, "tags", disks, resource_id=_id("d"), key="'mooring:snapshots'",
            value=f"'{POLICY}'")  # fmt: skip
    _insert(connection, "auto_runs", disks, resource_id=_id("d"), source="'tag'", region=region,
            policy=f"'{POLICY}'", next_ms=f"{now_ms} + 60000 + i % {DAY_MS}", within_ms=DAY_MS,
            enabled="(i % 100) <> 0")  # fmt: skip
    _insert(connection, "auto_failures", disks // 100 + 1, resource_id=_id("d"), source="'tag'",
            piece_ms=past, first_ms=past, last_ms=past, attempts=1, reason="'none'")  # fmt: skip
    of = f"1 + i % {disks}"
    whole = f"i % 4 = 0 AND i <= 4 * {instances}"
    state = f"CASE WHEN i <= {PENDING} THEN 'pending' WHEN i <= {PENDING + FAILED} THEN 'error' "
    auto = "CASE WHEN i % 4 = 1 THEN 'tag' END"
    resource["created_ms"] = f"{past} + i"
    _insert(connection, "disk_snapshots", snapshots, id=_id("s"), name="'snapshot-' || i",
            **resource, size_gb=8, disk_id=_id("d", of), disk_name=f"'disk-' || ({of})",
            disk_zone=f"'{ZONE}'", state=f"{state} ELSE 'completed' END", frozen="i < 0",
            progress=100, completed_ms=f"CASE WHEN i > {PENDING + FAILED} THEN {past} + i END",
            auto=auto, part_of=f"CASE WHEN {whole} THEN {_id('w', 'i / 4')} END",
            lost=f"CASE WHEN i = {PENDING + FAILED} THEN 'given-up' END")  # fmt: skip
    _insert(connection, "names", snapshots, region=region, name="'snapshot-' || i",
            resource_type="'DiskSnapshot'", resource_id=_id("s"))  # fmt: skip
    instance["instance_zone"] = instance.pop("zone")
    _insert(connection, "names", instances, region=region, name="'whole-' || i",
            resource_type="'InstanceSnapshot'", resource_id=_id("w"))  # fmt: skip
    _insert(connection, "instance_snapshots", instances, id=_id("w"), name="'whole-' || i",
            **resource, **instance, instance_id=_id("i"),
            instance_name="'instance-' || i")  # fmt: skip
    _insert(connection, "operations", 2 * snapshots, id=_id("o"), region=region,
            zone=f"'{ZONE}'", resource_id=_id("s", "1 + i / 2"),
            resource_name="'snapshot-' || (1 + i / 2)", resource_type="'DiskSnapshot'",
            type="'CreateDiskSnapshot'", status="'Succeeded'", created_ms=f"{past} + i",
            changed_ms=f"{past} + i", job_id=_id("s", "1 + i / 2"))  # fmt: skip
