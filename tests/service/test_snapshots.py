"""Snapshots through the service: from the request to the restored disk."""

from __future__ import annotations

import os

import pytest

from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.layout import FRAME_BLOCKS
from mooring.vault.writing.consolidation import CONSOLIDATE_FRAMES, stretch_limit
from tests.service.world import REGION, ZONE, World


def content(seed: int, blocks: int = 1) -> bytes:
    return os.urandom(blocks * BLOCK_SIZE - 1) + bytes([seed])


def restore(world: World, snapshot: str, name: str = "restored", size: int = 8) -> str:
    world.call(
        "CreateDiskFromSnapshot",
        diskName=name,
        diskSnapshotName=snapshot,
        availabilityZone=ZONE,
        sizeInGb=size,
    )
    world.settle()
    assert world.call("GetDisk", diskName=name)["disk"]["state"] == "available"
    return world.disk_id(name)


def test_the_reply_is_as_the_reference_page_shows_it(world: World) -> None:
    world.disk()

    result = world.snapshot("first")

    snapshot, disk = result["operations"]
    assert (snapshot["resourceType"], snapshot["resourceName"]) == ("DiskSnapshot", "first")
    assert snapshot["location"] == {"availabilityZone": "all", "regionName": REGION}
    assert snapshot["operationDetails"] == "data"
    assert (disk["resourceType"], disk["resourceName"]) == ("Disk", "data")
    assert disk["location"] == {"availabilityZone": ZONE, "regionName": REGION}
    assert disk["operationDetails"] == "first"
    for operation in result["operations"]:
        assert operation["operationType"] == "CreateDiskSnapshot"
        assert (operation["status"], operation["isTerminal"]) == ("Started", False)


def test_pending_then_completed(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1))
    world.snapshot("first")
    assert world.state("first")["state"] == "pending"

    world.settle()

    found = world.state("first")
    assert (found["state"], found["progress"]) == ("completed", "100%")
    assert (found["fromDiskName"], found["sizeInGb"]) == ("data", 8)
    assert world.operations("first")[0]["status"] == "Succeeded"
    assert world.operations("data")[0]["status"] == "Succeeded"


def test_the_snapshot_holds_what_was_there_at_the_request(world: World) -> None:
    disk_id = world.disk()
    before, after = content(1), content(2)
    world.write(disk_id, BLOCK_SIZE, before)
    world.snapshot("first")
    world.write(disk_id, BLOCK_SIZE, after)
    world.write(disk_id, 0, after)
    world.settle()

    restored = restore(world, "first")

    assert world.read(restored, 0, 2 * BLOCK_SIZE) == bytes(BLOCK_SIZE) + before
    assert world.read(disk_id, 0, 2 * BLOCK_SIZE) == after + after


def test_a_second_snapshot_stores_only_what_changed(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=512))
    world.snapshot("first")
    world.settle()
    world.write(disk_id, 7 * BLOCK_SIZE, content(2))
    world.snapshot("second")
    world.settle()

    with world.catalog.read() as transaction:
        first = transaction.snapshots.by_name(REGION, "first")
        second = transaction.snapshots.by_name(REGION, "second")
    assert first is not None
    assert second is not None
    assert second.parent_id == first.id
    assert second.changed_bytes == BLOCK_SIZE
    assert second.stored_bytes is not None
    assert second.stored_bytes < 8 * BLOCK_SIZE
    assert world.read(restore(world, "second"), 0, 512 * BLOCK_SIZE) == (
        world.read(disk_id, 0, 512 * BLOCK_SIZE)
    )


def test_snapshots_pending_together_are_each_right(world: World) -> None:
    disk_id = world.disk()
    contents = []
    for number in range(5):
        world.write(disk_id, number * BLOCK_SIZE, content(number))
        contents.append(world.read(disk_id, 0, 8 * BLOCK_SIZE))
        world.snapshot(f"s{number}")
    with pytest.raises(InvalidInputException, match="wait for it to complete") as caught:
        world.snapshot("s5")
    assert caught.value.code == "PendingSnapshotLimitExceeded"
    assert "s5" not in world.call("GetActiveNames")["activeNames"]

    world.settle()

    for number, wanted in enumerate(contents):
        restored = restore(world, f"s{number}", f"r{number}")
        assert world.read(restored, 0, 8 * BLOCK_SIZE) == wanted


def test_a_pending_snapshot_that_is_deleted_leaves_nothing(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1))
    world.snapshot("first")
    world.settle()
    world.write(disk_id, BLOCK_SIZE, content(2))
    world.snapshot("gone")
    world.call("DeleteDiskSnapshot", diskSnapshotName="gone")
    world.write(disk_id, 2 * BLOCK_SIZE, content(3))
    world.snapshot("third")
    wanted = world.read(disk_id, 0, 4 * BLOCK_SIZE)
    world.settle()

    with pytest.raises(NotFoundException):
        world.state("gone")
    assert world.operations("gone")[-1]["status"] == "Failed"
    assert world.operations("gone")[-1]["errorCode"] == "Canceled"
    assert len(list(world.vault.snapshot_ids())) == 2
    assert world.read(restore(world, "third"), 0, 4 * BLOCK_SIZE) == wanted


def test_deleting_the_parent_never_harms_its_children(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=300))
    for number in range(3):
        world.write(disk_id, number * BLOCK_SIZE, content(number))
        world.snapshot(f"s{number}")
        world.settle()
    wanted = world.read(disk_id, 0, 300 * BLOCK_SIZE)
    for number in (0, 1):
        world.call("DeleteDiskSnapshot", diskSnapshotName=f"s{number}")
    world.settle()

    assert world.read(restore(world, "s2"), 0, 300 * BLOCK_SIZE) == wanted


def test_with_its_lineage_lost_a_snapshot_is_compared_in_full(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=400))
    world.snapshot("first")
    world.settle()
    world.snapshot("second")
    world.settle()
    # The engine counts from "second", which is deleted: only "first" is left to compare with.
    world.call("DeleteDiskSnapshot", diskSnapshotName="second")
    world.settle()
    world.write(disk_id, 5 * BLOCK_SIZE, content(2))
    world.zero(disk_id, 9 * BLOCK_SIZE, BLOCK_SIZE)
    wanted = world.read(disk_id, 0, 400 * BLOCK_SIZE)
    world.snapshot("third")
    world.settle()

    with world.catalog.read() as transaction:
        third = transaction.snapshots.by_name(REGION, "third")
    assert third is not None
    assert third.stored_bytes is not None
    assert third.stored_bytes < 16 * BLOCK_SIZE
    assert world.read(restore(world, "third"), 0, 400 * BLOCK_SIZE) == wanted


def test_a_restored_disks_first_snapshot_is_incremental(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=256))
    world.snapshot("first")
    world.settle()
    restored = restore(world, "first", size=10)
    world.write(restored, 9 * 1024**3, content(2))
    world.snapshot("again", disk="restored")
    world.settle()

    with world.catalog.read() as transaction:
        again = transaction.snapshots.by_name(REGION, "again")
    assert again is not None
    assert again.changed_bytes == BLOCK_SIZE
    assert again.size_gb == 10


def test_the_disk_may_go_while_its_snapshot_is_pending(world: World) -> None:
    disk_id = world.disk()
    data = content(1)
    world.write(disk_id, 0, data)
    world.snapshot("last")
    world.call("DeleteDisk", diskName="data")
    world.settle()

    assert world.state("last")["state"] == "completed"
    assert world.read(restore(world, "last"), 0, BLOCK_SIZE) == data


def test_a_snapshot_may_go_while_a_disk_is_filled_from_it(world: World) -> None:
    disk_id = world.disk()
    data = content(1)
    world.write(disk_id, 0, data)
    world.snapshot("first")
    world.settle()
    world.call(
        "CreateDiskFromSnapshot",
        diskName="restored",
        diskSnapshotName="first",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()

    assert world.read(world.disk_id("restored"), 0, BLOCK_SIZE) == data
    assert list(world.vault.snapshot_ids()) == []


def test_a_failed_freeze_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk()

    def refuse(_points: object) -> None:
        raise EngineError("the storage daemon does not answer")

    monkeypatch.setattr(world.engine, "freeze", refuse)
    with pytest.raises(OperationFailureException, match="daemon does not answer"):
        world.snapshot("first")

    assert world.call("GetActiveNames")["activeNames"] == ["data"]
    assert len(world.operations("data")) == 1
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    monkeypatch.undo()
    world.snapshot("first")
    world.settle()
    assert world.state("first")["state"] == "completed"


def test_a_clock_set_back_neither_delays_nor_confuses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=64))
    world.snapshot("first")
    world.settle()
    world.write(disk_id, BLOCK_SIZE, content(2))
    world.snapshot("second")
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise EngineError("the disk does not answer")

        patch.setattr(world.engine, "open_point", broken)
        world.runner.drain()
    assert world.state("second")["state"] == "pending"

    world.clock.milliseconds -= 24 * 3600 * 1000
    world.write(disk_id, 3 * BLOCK_SIZE, content(3))
    expected = world.read(disk_id, 0, 64 * BLOCK_SIZE)
    world.snapshot("third")
    world.settle(seconds=60)

    with world.catalog.read() as transaction:
        first = transaction.snapshots.by_name(REGION, "first")
        second = transaction.snapshots.by_name(REGION, "second")
        third = transaction.snapshots.by_name(REGION, "third")
    assert first is not None
    assert second is not None
    assert third is not None
    assert (second.parent_id, third.parent_id) == (first.id, second.id)
    assert second.changed_bytes == third.changed_bytes == BLOCK_SIZE
    assert world.read(restore(world, "third"), 0, 64 * BLOCK_SIZE) == expected


def test_what_cannot_be_asked_for(world: World) -> None:
    world.disk()
    world.call("CreateDisk", diskName="young", availabilityZone=ZONE, sizeInGb=8)
    with pytest.raises(NotFoundException, match="The Disk does not exist: nope"):
        world.snapshot("first", disk="nope")
    with pytest.raises(OperationFailureException, match="The state of this disk is: pending"):
        world.snapshot("first", disk="young")
    with pytest.raises(InvalidInputException, match="either diskName or instanceName"):
        world.call("CreateDiskSnapshot", diskSnapshotName="first")
    with pytest.raises(InvalidInputException, match="either diskName or instanceName"):
        world.call(
            "CreateDiskSnapshot", diskSnapshotName="first", diskName="data", instanceName="web"
        )
    with pytest.raises(NotFoundException, match="The Instance does not exist: web"):
        world.call("CreateDiskSnapshot", diskSnapshotName="first", instanceName="web")


def test_a_disk_from_a_snapshot_has_rules(world: World) -> None:
    world.disk(size=9)
    world.snapshot("first")
    asked = {"diskName": "new", "diskSnapshotName": "first", "availabilityZone": ZONE}
    with pytest.raises(OperationFailureException, match="The state of this snapshot is: pending"):
        world.call("CreateDiskFromSnapshot", **asked, sizeInGb=9)
    world.settle()
    with pytest.raises(InvalidInputException, match="at least 9 GB"):
        world.call("CreateDiskFromSnapshot", **asked, sizeInGb=8)
    with pytest.raises(NotFoundException, match="The DiskSnapshot does not exist: nope"):
        world.call("CreateDiskFromSnapshot", **{**asked, "diskSnapshotName": "nope"}, sizeInGb=9)
    with pytest.raises(InvalidInputException, match="diskSnapshotName is required"):
        world.call("CreateDiskFromSnapshot", diskName="new", availabilityZone=ZONE, sizeInGb=9)


def test_both_forms_of_the_retry(world: World) -> None:
    world.disk()
    asked = {"diskName": "data", "diskSnapshotName": "first", "invocation": "i-1"}
    first = world.call("CreateDiskSnapshot", **asked)
    assert world.call("CreateDiskSnapshot", **asked) == first
    world.settle()
    assert len(world.call("GetDiskSnapshots")["diskSnapshots"]) == 1


def test_what_many_snapshots_scattered_is_written_again_and_not_told_as_changed(
    world: World,
) -> None:
    limit = stretch_limit(0, CONSOLIDATE_FRAMES)
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, FRAME_BLOCKS))
    world.snapshot("first")
    world.settle()
    rewritten = []
    for block in range(limit + 2):
        world.write(disk_id, block * BLOCK_SIZE, content(2))
        world.snapshot(f"s{block}")
        world.settle()
        root = world.vault.root(_id_of(world, f"s{block}"))
        assert root.statistics.changed_blocks == 1
        if root.statistics.stored_bytes > FRAME_BLOCKS * BLOCK_SIZE:
            rewritten.append(block)
            snapshot_id = root.id

    # The first time that the parent has it in more than the limit, and not the next time.
    assert rewritten == [limit]
    with world.vault.open(snapshot_id) as reader:
        extent = FRAME_BLOCKS * BLOCK_SIZE
        assert reader.read(0, limit * BLOCK_SIZE) == world.read(disk_id, 0, limit * BLOCK_SIZE)
        behind = (limit + 2) * BLOCK_SIZE
        assert reader.read(behind, extent - behind) == world.read(disk_id, behind, extent - behind)


def _id_of(world: World, name: str) -> str:
    return next(
        one for one in world.vault.snapshot_ids() if world.vault.root(one).info.name == name
    )
