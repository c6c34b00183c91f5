"""Automatic snapshots and parts by their names, in Mooring's own questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.model.access import UNBOUND, Access, Role
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS
from mooring.model.automatic.rules import day, minute, name_of
from mooring.model.errors import (
    AccessDeniedException,
    InvalidInputException,
    NotFoundException,
    ServiceError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.automatic import MIDNIGHT, TAG, live
from tests.service.world import REGION, World


@pytest.fixture
def world() -> Iterator[World]:
    """A disk and an instance with it that have automatic snapshots since yesterday."""
    made = World()
    made.clock.milliseconds = MIDNIGHT + 20 * HOUR_MS
    hourly = {"key": TAG, "value": "hourly keep 2 weeks"}
    disk = made.disk(tags=[hourly, {"key": "team", "value": "a"}])
    made.instance()
    made.attach()
    made.call("TagResource", resourceName="web", tags=[hourly, {"key": "team", "value": "a"}])
    for number in range(6):
        made.engine.write(disk, number * BLOCK_SIZE, bytes([number + 1]) * BLOCK_SIZE)
        live(made, HOUR_MS)
    yield made
    made.close()


def ask(world: World, question: str, access: Access = UNBOUND, **params: Any) -> dict[str, Any]:
    now = world.clock.now_ms()
    context = Context(REGION, "AKIATEST", "request", None, now, access)
    return own_handlers(world.backend)[question](context, params)


def taken(world: World, resource: str = "data") -> list[int]:
    """When the automatic ones were taken, newest first."""
    told = world.call("GetAutoSnapshots", resourceName=resource)["autoSnapshots"]
    return [one["createdAt"] for one in told]


def test_whatever_shows_a_name_shows_one_that_is_taken(world: World) -> None:
    shown = [one["diskSnapshotName"] for one in ask(world, "usage")["snapshots"]]

    assert name_of("data", taken(world)[0]) in shown
    assert f"{name_of('web', taken(world, 'web')[0])}/data" in shown
    for name in shown:
        assert ask(world, "snapshot", diskSnapshotName=name)["diskSnapshotName"] == name
        assert ask(world, "diff", diskSnapshotName=name)["to"] == name
    for moment in taken(world):
        name = f"data@{minute(moment)}"
        assert ask(world, "snapshot", diskSnapshotName=name)["createdAt"] == moment / 1000


def test_words_and_beginnings(world: World) -> None:
    moments = taken(world)
    today = day(world.clock.now_ms())
    yesterday = [one for one in moments if day(one) != today]
    assert len(yesterday) > 1
    newest = ask(world, "snapshot", diskSnapshotName="data@latest")
    assert newest["diskSnapshotName"] == name_of("data", moments[0])
    told = ask(world, "snapshot", diskSnapshotName="data@yesterday")
    assert told["diskSnapshotName"] == name_of("data", yesterday[0])

    with pytest.raises(InvalidInputException, match="name one: data@") as caught:
        ask(world, "snapshot", diskSnapshotName=f"data@{day(yesterday[0])}")
    for moment in yesterday:
        assert name_of("data", moment) in caught.value.message
    changed = ask(
        world,
        "diff",
        diskSnapshotName="data@latest",
        fromDiskSnapshotName=name_of("data", moments[1]),
    )
    assert (changed["from"], changed["to"]) == tuple(name_of("data", one) for one in moments[1::-1])
    assert changed["extents"] == [{"offset": 5 * BLOCK_SIZE, "length": BLOCK_SIZE, "zero": False}]


def test_parts_of_what_was_taken_of_an_instance(world: World) -> None:
    world.instance_snapshot("all")
    world.settle()

    part = ask(world, "snapshot", diskSnapshotName="web@latest/data")
    assert part["diskSnapshotName"] == f"{name_of('web', taken(world, 'web')[0])}/data"
    assert ask(world, "diff", diskSnapshotName="all/data")["to"] == "all/data"
    whole = ask(world, "instance-snapshot", instanceSnapshotName="web@latest")
    assert whole["instanceSnapshotName"] == name_of("web", taken(world, "web")[0])
    with pytest.raises(InvalidInputException, match="Name one of them: web@latest/data"):
        ask(world, "snapshot", diskSnapshotName="web@latest")
    with pytest.raises(NotFoundException, match=r"holds no disk logs\. Its disks: data"):
        ask(world, "snapshot", diskSnapshotName="all/logs")


def test_a_whole_snapshot_of_an_instance_is_none_of_a_disk(world: World) -> None:
    world.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="all")

    with pytest.raises(InvalidInputException, match=r"all its disks\. Name one of them: all/data"):
        ask(world, "snapshot", diskSnapshotName="all")


def test_what_is_none(world: World) -> None:
    world.instance_snapshot("all")
    for name in ("web@latest/logs", "data@latest/data", "all@latest", "no@latest"):
        for member, question in (
            ("diskSnapshotName", "snapshot"),
            ("diskSnapshotName", "diff"),
            ("instanceSnapshotName", "instance-snapshot"),
        ):
            asked: dict[str, Any] = {member: name}
            with pytest.raises(ServiceError):
                ask(world, question, **asked)


def test_only_who_may_act_on_the_disk_may_name_its_snapshots(world: World) -> None:
    world.call(
        "CreateInstanceSnapshot",
        instanceName="web",
        instanceSnapshotName="all",
        tags=[{"key": "team", "value": "a"}],
    )
    world.settle()
    mine = Access(role=Role.OPERATOR, tags={"team": "a"})
    other = Access(role=Role.OPERATOR, tags={"team": "b"})

    for name in ("data@latest", "data@yesterday", "web@latest/data", "all/data"):
        for question in ("snapshot", "diff", "grant"):
            with pytest.raises(AccessDeniedException):
                ask(world, question, other, diskSnapshotName=name)
            if question != "grant":  # nothing serves snapshots in memory
                assert ask(world, question, mine, diskSnapshotName=name)
        with pytest.raises(AccessDeniedException):
            ask(world, "diff", other, diskSnapshotName="gone", fromDiskSnapshotName=name)


def test_a_disk_of_another_shuts_the_instances_automatic_ones(world: World) -> None:
    mine = Access(role=Role.OPERATOR, tags={"team": "a"})
    world.call("UntagResource", resourceName="data", tagKeys=["team"])

    with pytest.raises(AccessDeniedException, match="all disks in the instance's automatic"):
        ask(world, "snapshot", mine, diskSnapshotName="web@latest/data")
    with pytest.raises(AccessDeniedException):
        ask(world, "instance-snapshot", mine, instanceSnapshotName="web@latest")


def test_the_operations_of_lightsail_take_no_such_names(world: World) -> None:
    place = {"availabilityZone": "us-east-2a"}
    size = {**place, "diskName": "again", "sizeInGb": 8}
    for operation, when, given in (
        ("DeleteDiskSnapshot", "latest", {"diskSnapshotName": "data@latest"}),
        ("CreateDiskFromSnapshot", "latest", {"diskSnapshotName": "data@latest", **size}),
        ("CreateDiskFromSnapshot", "date", {"diskSnapshotName": "data@2026-11-24", **size}),
        ("ExportSnapshot", "latest", {"sourceSnapshotName": "data@latest"}),
    ):
        with pytest.raises(
            InvalidInputException, match="names an automatic snapshot only"
        ) as found:
            world.call(operation, **given)
        wanted = "--use-latest-restorable" if when == "latest" else "--restore-date"
        assert "--source-disk-name" in str(found.value)
        assert wanted in str(found.value)
    with pytest.raises(InvalidInputException, match="is not a valid resource name"):
        world.call("DeleteDiskSnapshot", diskSnapshotName="data@noon")


def test_it_is_the_disk_of_the_name_now(world: World) -> None:
    world.call("DetachDisk", diskName="data")
    world.settle()
    world.call("DeleteDisk", diskName="data", forceDeleteAddOns=True)
    world.settle()
    world.disk("data")
    live(world, DAY_MS)

    with pytest.raises(NotFoundException, match="data has none that is stored"):
        ask(world, "snapshot", diskSnapshotName="data@latest")
