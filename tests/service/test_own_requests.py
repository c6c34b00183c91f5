"""Questions change nothing: a browser asks them without its user, by any link or image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from mooring.catalog.tables.schema import metadata
from mooring.model.access import UNBOUND
from mooring.model.extents import BLOCK_SIZE
from mooring.service.context import Context
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from tests.service.world import REGION, World

QUESTIONS = sorted(name for name, request in OWN_REQUESTS.items() if not request.acts)


@pytest.fixture
def world() -> Iterator[World]:
    """An attached disk with two snapshots, one of its instance, and one on its way to a file."""
    made = World()
    disk = made.disk()
    made.instance()
    made.attach()
    for name, data in (("first", b"a"), ("second", b"b")):
        made.engine.write(disk, 0, data * BLOCK_SIZE)
        made.snapshot(name)
        made.settle()
    made.instance_snapshot("whole")
    made.settle()
    made.call("ExportSnapshot", sourceSnapshotName="first")
    yield made
    made.close()


def state(world: World) -> tuple[Any, ...]:
    """All rows of the catalog, and all objects of the vaults."""
    with world.catalog._engine.connect() as connection:
        rows = {one.name: connection.execute(select(one)).all() for one in metadata.sorted_tables}
    objects = {region: dict(store.objects) for region, store in world.stores.items()}
    return rows, objects


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_changes_nothing(question: str, world: World) -> None:
    (record,) = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    names = {
        "diskName": "data",
        "diskSnapshotName": "second",
        "fromDiskSnapshotName": "first",
        "instanceSnapshotName": "whole",
        "exportSnapshotRecordName": record["name"],
        "startOffset": "0",
        "pageToken": "",
        "text": "",
        "show": "",
    }
    # An instance stands for a disk, where it is asked about one.
    members = [one for one in OWN_REQUESTS[question].members if one != "instanceName"]
    params = {member: names[member] for member in members}
    context = Context(REGION, "AKIATEST", "request", None, world.clock.now_ms(), UNBOUND)
    before = state(world)
    for _ in range(2):
        assert own_handlers(world.backend)[question](context, params)

    assert state(world) == before
