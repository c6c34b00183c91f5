"""Reverts of disks: done with the answer, nothing lost, incremental."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.model.automatic.rhythm import HOUR_MS
from mooring.model.automatic.rules import day, name_of
from mooring.model.errors import (
    EngineError,
    LayerDamagedError,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.automatic import MIDNIGHT, TAG, live
from tests.service.reverts import LATER, NOW, THEN, held, nothing_left, revert, row, stored, world
from tests.service.world import REGION, World

__all__ = ["world"]


def test_the_disk_holds_the_snapshot_when_it_is_answered(world: World) -> None:
    answer = revert(world)

    assert held(world) == THEN * 2
    kept = answer["keptSnapshotName"]
    assert kept.startswith("data-before-revert-2")
    first, *storing = answer["operations"]
    assert (first["operationType"], first["status"]) == ("RevertDisk", "Succeeded")
    assert first["operationDetails"] == "then"
    assert [one["operationType"] for one in storing] == ["CreateDiskSnapshot"] * 2
    assert {one["status"] for one in storing} == {"Started"}
    assert world.state(kept)["state"] == "pending"
    world.settle()
    assert world.state(kept)["state"] == "completed"
    assert stored(world, kept) == NOW + THEN
    assert {one["status"] for one in world.operations(kept)} == {"Succeeded"}
    assert world.engine.filling(world.disk_id("data")) is None
    nothing_left(world)


def test_the_next_snapshot_is_incremental_to_the_one_reverted_to(world: World) -> None:
    world.snapshot("between")
    world.settle()
    revert(world, keptSnapshotName="kept")
    world.write(world.disk_id("data"), 5 * BLOCK_SIZE, LATER)
    world.snapshot("next")
    world.settle()

    following = row(world, "next")
    assert following.parent_id == row(world, "then").id
    assert following.changed_bytes == BLOCK_SIZE
    kept = row(world, "kept")
    assert (kept.parent_id, kept.changed_bytes) == (row(world, "between").id, 0)
    assert kept.consistency == "at-rest"
    nothing_left(world)


def test_there_and_back(world: World) -> None:
    revert(world, keptSnapshotName="kept")
    world.settle()

    revert(world, "kept", keptSnapshotName="again")

    assert held(world) == NOW + THEN
    world.settle()
    assert stored(world, "again") == THEN * 2
    assert row(world, "again").changed_bytes == 0


def test_reverting_twice_before_anything_is_stored_or_filled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(world.disk_id("data"), BLOCK_SIZE, NOW)
    world.snapshot("second")
    world.settle()

    def away(*_: object, **__: object) -> None:
        raise EngineError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "fill", away)
        patch.setattr(world.engine, "open_point", away)
        revert(world, keptSnapshotName="one")
        world.runner.drain()
        world.write(world.disk_id("data"), BLOCK_SIZE, LATER)
        revert(world, "second", keptSnapshotName="two")
        world.runner.drain()
        # What is read from it is needed until the second is stored.
        world.call("DeleteDiskSnapshot", diskSnapshotName="then")
        world.settle(10)
    world.settle(120)

    assert held(world) == NOW * 2
    assert stored(world, "one") == NOW * 2
    assert stored(world, "two") == THEN + LATER
    assert world.engine.filling(world.disk_id("data")) is None
    nothing_left(world)


def test_what_was_there_can_be_given_up(world: World) -> None:
    answer = revert(world, discard=True)

    assert answer["keptSnapshotName"] is None
    (operation,) = answer["operations"]
    assert operation["operationDetails"] == "then; what it held before was given up"
    assert held(world) == THEN * 2
    world.settle()
    assert [one["name"] for one in world.call("GetDiskSnapshots")["diskSnapshots"]] == ["then"]
    nothing_left(world)


def test_storing_what_was_there_is_never_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise LayerDamagedError("a layer is missing")

    revert(world, keptSnapshotName="kept")
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "open_point", damaged)
        world.settle(90)
        assert world.state("kept")["state"] == "pending"
    world.settle()

    assert world.state("kept")["state"] == "completed"
    assert stored(world, "kept") == NOW + THEN


def test_whoever_deletes_the_pending_snapshot_gives_it_up(world: World) -> None:
    revert(world, keptSnapshotName="kept")
    world.call("DeleteDiskSnapshot", diskSnapshotName="kept")
    world.settle()

    past = world.engine.past(world.disk_id("data"))
    assert past is not None
    assert list(past.points) == []
    nothing_left(world)


def test_snapshots_pending_before_are_stored(world: World) -> None:
    world.snapshot("pending")
    world.write(world.disk_id("data"), BLOCK_SIZE, LATER)

    revert(world, keptSnapshotName="kept")
    world.settle()

    assert stored(world, "pending") == NOW + THEN
    assert stored(world, "kept") == NOW + LATER
    assert row(world, "kept").changed_bytes == BLOCK_SIZE


@pytest.mark.parametrize("word", ["yesterday", "latest"])
def test_to_automatic_snapshots(word: str) -> None:
    world = World()
    world.clock.milliseconds = MIDNIGHT + 22 * HOUR_MS
    disk = world.disk(tags=[{"key": TAG, "value": "hourly keep 2 weeks"}])
    for number in range(1, 5):
        world.write(disk, 0, bytes([number]) * BLOCK_SIZE)
        live(world, HOUR_MS)
    moments = [
        one["createdAt"]
        for one in world.call("GetAutoSnapshots", resourceName="data")["autoSnapshots"]
    ]
    today = day(world.clock.now_ms())
    wanted = next(one for one in moments if word == "latest" or day(one) != today)
    image = world.vault.open(
        next(one.id for one in automatic(world, disk) if one.created_ms == wanted)
    )
    content = bytes(image.read(0, BLOCK_SIZE))
    world.write(disk, 0, NOW)

    answer = revert(world, f"data@{word}")

    assert content not in (NOW, bytes(BLOCK_SIZE))
    assert held(world)[:BLOCK_SIZE] == content
    assert answer["operations"][0]["operationDetails"] == name_of("data", wanted)
    world.settle()
    assert stored(world, answer["keptSnapshotName"])[:BLOCK_SIZE] == NOW


def automatic(world: World, disk: str) -> list[DiskSnapshot]:
    with world.catalog.read() as transaction:
        return transaction.snapshots.auto_of_disk(disk)


def test_before_a_growth_the_disk_keeps_its_size(world: World) -> None:
    own_handlers(world.backend)["grow"](
        Context(REGION, "AKIATEST", "request", None, 0), {"diskName": "data", "sizeInGb": 16}
    )
    world.settle()

    revert(world, keptSnapshotName="kept")
    world.settle()

    assert world.call("GetDisk", diskName="data")["disk"]["sizeInGb"] == 16
    assert row(world, "kept").size_gb == 16
    assert held(world) == THEN * 2
    world.snapshot("next")
    world.settle()
    assert (row(world, "next").size_gb, row(world, "next").parent_id) == (16, row(world, "then").id)


def test_attached_disks_without_clients(world: World) -> None:
    world.instance()
    world.attach()
    disk_id = world.disk_id("data")
    world.engine.connect(disk_id, 77)
    with pytest.raises(OperationFailureException, match=r"in use.*process 77.* is connected"):
        revert(world)
    world.engine.disconnect(disk_id, 77)

    revert(world)

    disk = world.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["attachedTo"]) == ("in-use", "web")
    assert world.engine.read(disk_id, 0, 2 * BLOCK_SIZE) == THEN * 2
    world.settle()
    nothing_left(world)


def test_a_client_that_comes_at_the_last_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.instance()
    world.attach()
    disk_id, done = world.disk_id("data"), world.engine.revert

    def late(*given: Any, **named: Any) -> None:
        world.engine.connect(disk_id, 78)
        done(*given, **named)

    monkeypatch.setattr(world.engine, "revert", late)
    with pytest.raises(OperationFailureException, match=r"process 78.* is connected"):
        revert(world, keptSnapshotName="kept")

    nothing_left(world)
    assert world.engine.read(disk_id, 0, 2 * BLOCK_SIZE) == NOW + THEN
    with pytest.raises(NotFoundException):
        world.state("kept")


def test_block_device_of_this_host(world: World) -> None:
    world.instance("here", blueprint="host")
    world.attach(instance="here")
    disk_id = world.disk_id("data")
    device = world.devices.device(disk_id)
    assert device is not None
    world.devices.mounts[disk_id] = "/mnt"
    with pytest.raises(OperationFailureException, match=f"{device} is mounted at /mnt"):
        revert(world)
    del world.devices.mounts[disk_id]

    revert(world)

    assert world.devices.device(disk_id) is not None
    assert world.engine.read(disk_id, 0, BLOCK_SIZE) == THEN


def test_asked_again_it_is_the_same_revert(world: World) -> None:
    first = revert(world, invocation="again")
    world.write(world.disk_id("data"), 0, LATER)

    assert revert(world, invocation="again") == first
    assert held(world) == LATER + THEN


def test_to_what_the_disk_was_made_from(world: World) -> None:
    world.call(
        "CreateDiskFromSnapshot",
        diskName="clone",
        diskSnapshotName="then",
        availabilityZone="us-east-2a",
        sizeInGb=8,
    )
    world.settle()
    world.write(world.disk_id("clone"), 0, LATER)

    revert(world, diskName="clone")

    assert held(world, "clone") == THEN * 2


def test_what_a_disk_was_made_from_is_told_apart_from_what_it_was_reverted_to(
    world: World,
) -> None:
    world.call(
        "CreateDiskFromSnapshot",
        diskName="clone",
        diskSnapshotName="then",
        availabilityZone="us-east-2a",
        sizeInGb=8,
    )
    told = facts(world, "clone")
    assert (told["originName"], told["reverted"]) == ("then", False)
    world.settle()
    told = facts(world, "clone")
    assert (told["originName"], told["reverted"]) == ("then", False)

    revert(world)
    for _ in range(2):
        told = facts(world, "data")
        assert (told["originName"], told["reverted"]) == ("then", True)
        world.settle()


def facts(world: World, disk: str) -> Mapping[str, Any]:
    context = Context(REGION, "AKIATEST", "request", None, 0)
    return own_handlers(world.backend)["disk"](context, {"diskName": disk})


def test_a_fork_of_a_reverted_disk(world: World) -> None:
    revert(world, keptSnapshotName="kept")
    own_handlers(world.backend)["fork"](
        Context(REGION, "AKIATEST", "request", None, 0), {"diskName": "data", "newDiskName": "fork"}
    )
    world.write(world.disk_id("data"), 0, LATER)
    world.settle()

    assert held(world, "fork") == THEN * 2
    nothing_left(world)
