"""The audit log in the catalog: a change and its line are one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mooring.api.shared_audit import SharedAudit
from mooring.catalog.database import Catalog
from mooring.jobs.old_operations import OldAuditLines
from mooring.model.access import Access, Role
from mooring.model.automatic.rhythm import DAY_MS
from mooring.observe import metrics
from mooring.observe.audit import AuditLog
from mooring.service.own.table import own_handlers
from mooring.service.table import handlers
from tests.api.door import Door
from tests.service.world import ZONE, World

OLGA = Access("olga", Role.OPERATOR)
DISK = {"diskName": "data", "availabilityZone": ZONE, "sizeInGb": 8}


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.full)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql").url()
    world = World(catalog=Catalog(url))
    yield world
    world.close()


def door_of(world: World, access: Access = OLGA, audit_log: AuditLog | None = None) -> Door:
    every = {**handlers(world.backend), **own_handlers(world.backend)}
    shared = SharedAudit(world.catalog, "one")
    options: dict[str, Any] = {"shared_audit": shared, "access": access, "audit_log": audit_log}
    return Door(**{**options, **every})


def lines(world: World) -> list[dict[str, Any]]:
    with world.catalog.read() as transaction:
        return list(transaction.audit_lines.since(0))


def test_a_change_has_the_line_that_the_file_has(world: World, tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", sync=False)
    door = door_of(world, audit_log=log)
    reply = door.call("CreateDisk", DISK)
    assert reply.status == 200, reply.text
    log.close()

    (line,) = lines(world)
    assert line.pop("server") == "one"
    assert line == json.loads(log.path.read_text())
    assert (line["operation"], line["user"], line["result"]) == ("CreateDisk", "olga", "Succeeded")
    assert line["requestId"] == reply.headers["x-amzn-requestid"]


def test_one_line_however_many_transactions(world: World) -> None:
    door = door_of(world)
    door.call("CreateDisk", DISK)
    world.settle()
    door.call("CreateDiskSnapshot", {"diskName": "data", "diskSnapshotName": "first"})
    door.call("GetDisks")
    assert [line["operation"] for line in lines(world)] == ["CreateDisk", "CreateDiskSnapshot"]


def test_no_change_without_a_line(world: World) -> None:
    door = door_of(world)
    with world.catalog.write() as transaction:
        transaction.servers._connection.execute(text("ALTER TABLE audit_lines RENAME TO away"))
    failed = door.call("CreateDisk", DISK)
    assert failed.status == 500
    with world.catalog.write() as transaction:
        transaction.servers._connection.execute(text("ALTER TABLE away RENAME TO audit_lines"))
        assert transaction.disks.all() == []
        assert transaction.operations.page("us-east-2", 0, 9)[0] == []


def test_what_fails_or_is_denied_is_there_too(world: World) -> None:
    door = door_of(world)
    assert door.call("DeleteDisk", {"diskName": "none"}).status == 400
    denied = door_of(world, Access("eve", Role.READ_ONLY))
    assert denied.call("CreateDisk", DISK).status == 400
    # Nobody knows who that is: it is in the server's own file and log.
    assert door.call("CreateDisk", DISK, signing={"secret": "wrong"}).status == 400

    told = [(one["user"], one["operation"], one["result"]) for one in lines(world)]
    assert told == [
        ("olga", "DeleteDisk", "NotFoundException"),
        ("eve", "CreateDisk", "AccessDeniedException"),
    ]


def test_a_failure_after_a_change_corrects_the_line(world: World) -> None:
    door = door_of(world)
    door.call("CreateDisk", DISK)
    world.settle()

    def refuse(*_: object) -> None:
        raise OSError("no room")

    world.engine.freeze = refuse  # type: ignore[method-assign,assignment]
    asked = {"diskName": "data", "diskSnapshotName": "first"}
    assert door.call("CreateDiskSnapshot", asked).status == 500
    (_, line) = lines(world)
    assert line["operation"] == "CreateDiskSnapshot"
    assert line["result"] == "ServiceException"


def test_a_line_that_cannot_be_corrected_is_counted(world: World) -> None:
    door = door_of(world)
    before = metrics.text()
    with world.catalog.write() as transaction:
        transaction.servers._connection.execute(text("ALTER TABLE audit_lines RENAME TO away"))
    assert door.call("DeleteDisk", {"diskName": "none"}).status == 400
    assert metrics.text() != before


def test_old_lines_go(world: World) -> None:
    door = door_of(world)
    for name in ("a", "b"):
        door.call("CreateDisk", {**DISK, "diskName": name})
    old = OldAuditLines(world.backend, 90)
    world.clock.advance((door.clock.now_ms() - world.clock.now_ms()) / 1000 + 89 * 86_400)
    old.look()
    assert len(lines(world)) == 2
    world.clock.advance(2 * DAY_MS / 1000)
    old.look()
    assert lines(world) == []
