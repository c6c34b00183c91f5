"""Reverts to snapshots of the disks that a disk descends from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mooring.engine.interface import Source
from mooring.jobs.fill_disk import resume
from mooring.model.errors import InvalidInputException
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.disk import MAX_ANCESTORS, Disk
from mooring.service.call import Call
from mooring.service.context import Context
from mooring.service.disks import create_disk_from_snapshot
from tests.service.world import REGION, ZONE, World

THEN, NOW, LATER = b"t" * BLOCK_SIZE, b"n" * BLOCK_SIZE, b"l" * BLOCK_SIZE


@pytest.fixture
def world() -> World:
    """A disk that held THEN at the snapshot `then`, its fork, and NOW at the snapshot `now`."""
    world = World()
    disk = world.disk()
    world.write(disk, 0, THEN)
    snapshot(world, "then")
    fork(world, "data", "fork")
    world.write(disk, 0, NOW)
    snapshot(world, "now")
    return world


def snapshot(world: World, name: str, disk: str = "data") -> None:
    world.snapshot(name, disk)
    world.settle()


def fork(world: World, disk: str, name: str) -> None:
    world.act("fork", diskName=disk, newDiskName=name)
    world.settle()


def revert(world: World, disk: str, to: str) -> Mapping[str, Any]:
    answer = world.act("revert", diskName=disk, diskSnapshotName=to)
    world.settle()
    return answer


def held(world: World, disk: str) -> bytes:
    return world.read(world.disk_id(disk), 0, BLOCK_SIZE)


def test_snapshots_from_before_the_fork_and_since(world: World) -> None:
    world.write(world.disk_id("fork"), 0, LATER)

    kept = revert(world, "fork", "then")["keptSnapshotName"]
    assert held(world, "fork") == THEN
    revert(world, "fork", "now")
    assert held(world, "fork") == NOW
    revert(world, "fork", kept)
    assert held(world, "fork") == LATER
    assert held(world, "data") == NOW


def test_a_snapshot_of_the_first_disk_after_it_grew_makes_the_fork_as_large(world: World) -> None:
    world.disk("first")
    fork(world, "first", "second")
    world.write(world.disk_id("second"), 0, LATER)
    world.act("grow", diskName="first", sizeInGb=16)
    world.settle()
    snapshot(world, "grown", "first")

    kept = revert(world, "second", "grown")["keptSnapshotName"]

    assert world.call("GetDisk", diskName="second")["disk"]["sizeInGb"] == 16
    with pytest.raises(InvalidInputException, match="has 16 GB and cannot get 12 GB"):
        world.act("grow", diskName="second", sizeInGb=12)
    # It cannot be stored as what has changed since a larger one.
    assert (world.state(kept)["state"], world.state(kept)["sizeInGb"]) == ("completed", 8)
    revert(world, "second", kept)
    assert held(world, "second") == LATER


def test_a_start_before_it_is_recorded_that_the_fork_is_larger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it reads from is found again all the same."""
    world.act("grow", diskName="data", sizeInGb=16)
    world.settle()
    snapshot(world, "grown")
    world.act("revert", diskName="fork", diskSnapshotName="grown", discard=True)
    disk = world.disk_id("fork")
    with world.catalog.write() as transaction:
        transaction.disks.change(disk, size_gb=8)
    renewed: list[str] = []

    def begin_clone(disk_id: str, size: int, source: Source) -> None:
        done(disk_id, size, source)
        renewed.append(disk_id)

    done = world.engine.begin_clone
    monkeypatch.setattr(world.engine, "begin_clone", begin_clone)
    resume(world.backend)

    assert set(renewed) == {disk}


def test_the_next_snapshot_is_incremental_to_it(world: World) -> None:
    revert(world, "fork", "now")
    world.write(world.disk_id("fork"), BLOCK_SIZE, LATER)

    snapshot(world, "of-fork", "fork")

    with world.catalog.read() as transaction:
        found = transaction.snapshots.by_name(REGION, "of-fork")
        now = transaction.snapshots.by_name(REGION, "now")
    assert found is not None
    assert now is not None
    assert (found.parent_id, found.changed_bytes) == (now.id, BLOCK_SIZE)


def test_not_the_other_way_round(world: World) -> None:
    snapshot(world, "of-fork", "fork")

    with pytest.raises(InvalidInputException, match="is of fork, and disks are reverted to"):
        revert(world, "data", "of-fork")


def test_forks_of_forks_whose_disks_are_deleted(world: World) -> None:
    fork(world, "fork", "third")
    for disk in ("data", "fork"):
        world.call("DeleteDisk", diskName=disk)
        world.settle()

    for name, content in (("now", NOW), ("then", THEN)):
        revert(world, "third", name)
        assert held(world, "third") == content


def test_forks_of_instances_have_the_snapshots_of_their_disks(world: World) -> None:
    world.instance()
    world.attach()
    world.act("fork-instance", instanceName="web", newInstanceName="twin")

    revert(world, "twin-data", "then")

    assert world.engine.read(world.disk_id("twin-data"), 0, BLOCK_SIZE) == THEN


def test_disks_of_pending_snapshots_are_forks_in_this_too(world: World) -> None:
    world.snapshot("pending")
    asked = {"diskSnapshotName": "pending", "availabilityZone": ZONE, "sizeInGb": 8}
    call = Call(Context(REGION, "AKIATEST", "request", None, 0), "", {"diskName": "copy", **asked})
    create_disk_from_snapshot(replace(world.backend, disks_of_pending=True), call)
    world.settle()

    revert(world, "copy", "then")

    assert held(world, "copy") == THEN


def test_back_to_what_a_disk_was_made_from_after_another_revert(world: World) -> None:
    world.call(
        "CreateDiskFromSnapshot",
        diskName="clone",
        diskSnapshotName="then",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    world.settle()
    world.write(world.disk_id("clone"), 0, LATER)
    snapshot(world, "own", "clone")

    for name, content in (("then", THEN), ("own", LATER), ("then", THEN), ("own", LATER)):
        revert(world, "clone", name)
        assert held(world, "clone") == content
    with world.catalog.read() as transaction:
        clone = transaction.disks.by_name(REGION, "clone")
    assert clone is not None
    assert len(clone.ancestors) == 1


def test_generations_without_end_do_not_grow_without_end() -> None:
    disk = Disk(id="0", region="", zone="", name="", created_ms=0, support_code="", size_gb=8)
    line = disk.forked()
    assert line == ("0",)
    for number in range(2 * MAX_ANCESTORS):
        made = Disk(
            id=f"{number}",
            region="",
            zone="",
            name="",
            created_ms=0,
            support_code="",
            size_gb=8,
            ancestors=line,
        )
        line = made.forked()
    assert len(line) == MAX_ANCESTORS
    assert line[0] == f"{2 * MAX_ANCESTORS - 1}"
