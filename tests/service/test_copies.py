"""Copies of snapshots: what they hold, what they cost, what may go meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest

from mooring.jobs.recover import recover
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import (
    DamageError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE, Buffer
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.vault.format.layout import SEGMENTS
from mooring.vault.reading.reader import SnapshotReader
from tests.service.test_snapshots import content, restore
from tests.service.world import REGION, World
from tests.vault.faults import once

FAR = "us-west-2"


def copy(
    world: World, source: str, target: str, *, to: str = FAR, frm: str = REGION, **more: Any
) -> Mapping[str, Any]:
    return world.call(
        "CopySnapshot",
        region=to,
        sourceRegion=frm,
        sourceSnapshotName=source,
        targetSnapshotName=target,
        **more,
    )


def taken(world: World, name: str, disk: str = "data") -> None:
    world.snapshot(name, disk)
    world.settle()


def cost(world: World, name: str, region: str = FAR) -> tuple[str | None, int]:
    """The snapshot's parent, and the bytes that were found to be new."""
    with world.catalog.read() as transaction:
        found = transaction.snapshots.by_name(region, name)
    assert found is not None
    assert (found.state, found.progress) == ("completed", 100)
    assert found.changed_bytes is not None
    return found.parent_id, found.changed_bytes


def snapshot_id(world: World, name: str, region: str = FAR) -> str:
    with world.catalog.read() as transaction:
        found = transaction.snapshots.by_name(region, name)
    assert found is not None
    return found.id


def held(world: World, name: str, length: int, region: str = FAR) -> bytes:
    """The beginning of a snapshot, read and checked from its region's vault."""
    vault = world.backend.vaults[region]
    with vault.open(snapshot_id(world, name, region)) as reader:
        assert vault.verify([reader.root.id]) == []
        return bytes(reader.read(0, length))


def test_the_reply_and_the_copy(world: World) -> None:
    disk_id = world.disk()
    data = content(1, blocks=3)
    world.write(disk_id, 0, data)
    taken(world, "first")

    (operation,) = copy(world, "first", "far")["operations"]

    assert (operation["resourceType"], operation["resourceName"]) == ("DiskSnapshot", "far")
    assert operation["location"] == {"availabilityZone": "all", "regionName": FAR}
    assert operation["operationDetails"] == f"{REGION}:first"
    assert (operation["operationType"], operation["status"]) == ("CopySnapshot", "Started")
    far = world.call("GetDiskSnapshot", region=FAR, diskSnapshotName="far")["diskSnapshot"]
    assert (far["state"], far["progress"]) == ("pending", "0%")
    world.settle()
    far = world.call("GetDiskSnapshot", region=FAR, diskSnapshotName="far")["diskSnapshot"]
    near = world.state("first")
    assert (far["state"], far["progress"]) == ("completed", "100%")
    assert not far["isFromAutoSnapshot"]
    assert (far["fromDiskName"], far["fromDiskArn"]) == ("data", near["fromDiskArn"])
    assert held(world, "far", len(data)) == data
    ended = world.call("GetOperation", region=FAR, operationId=operation["id"])["operation"]
    assert ended["status"] == "Succeeded"


def test_a_disk_is_made_from_a_copy(world: World) -> None:
    disk_id = world.disk()
    data = content(1)
    world.write(disk_id, BLOCK_SIZE, data)
    taken(world, "first")
    copy(world, "first", "far")
    world.settle()
    copy(world, "far", "back", to=REGION, frm=FAR)
    world.settle()

    assert world.read(restore(world, "back"), 0, 2 * BLOCK_SIZE) == bytes(BLOCK_SIZE) + data
    # The region has the content already, so the copy that came back cost no data.
    assert cost(world, "back", REGION) == (snapshot_id(world, "first", REGION), 0)


def test_a_next_copy_takes_only_what_changed(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=512))
    taken(world, "s1")
    copy(world, "s1", "f1")
    world.settle()
    # Between the two there are snapshots that were never copied, and one that is gone.
    for number in (2, 3, 4):
        world.write(disk_id, number * BLOCK_SIZE, content(number))
        taken(world, f"s{number}")
    world.call("DeleteDiskSnapshot", diskSnapshotName="s3")
    world.zero(disk_id, 9 * BLOCK_SIZE, BLOCK_SIZE)
    taken(world, "s5")
    wanted = world.read(disk_id, 0, 512 * BLOCK_SIZE)

    reads: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        count_reads(patch, reads)
        copy(world, "s5", "f5")
        world.settle()

    assert cost(world, "f5") == (snapshot_id(world, "f1"), 4 * BLOCK_SIZE)
    assert sum(reads) == 3 * BLOCK_SIZE
    assert held(world, "f5", len(wanted)) == wanted


def test_two_copies_asked_at_once_still_build_on_each_other(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=64))
    taken(world, "s1")
    world.write(disk_id, 0, content(2))
    taken(world, "s2")

    copy(world, "s1", "f1")
    copy(world, "s2", "f2")
    world.settle()

    assert cost(world, "f2") == (snapshot_id(world, "f1"), BLOCK_SIZE)


def test_an_older_snapshot_copied_later(world: World) -> None:
    disk_id = world.disk()
    first = content(1, blocks=8)
    world.write(disk_id, 0, first)
    taken(world, "s1")
    world.write(disk_id, BLOCK_SIZE, content(2))
    taken(world, "s2")
    copy(world, "s2", "f2")
    world.settle()

    copy(world, "s1", "f1")
    world.settle()

    assert cost(world, "f1") == (snapshot_id(world, "f2"), BLOCK_SIZE)
    assert held(world, "f1", len(first)) == first


def test_the_lineage_goes_through_the_disk_that_was_restored(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=128))
    taken(world, "s1")
    copy(world, "s1", "f1")
    world.settle()
    other = restore(world, "s1", "other", size=10)
    world.write(other, 0, content(2))
    taken(world, "o1", "other")

    copy(world, "o1", "fo")
    world.settle()

    assert cost(world, "fo") == (snapshot_id(world, "f1"), BLOCK_SIZE)
    assert held(world, "fo", 128 * BLOCK_SIZE) == world.read(other, 0, 128 * BLOCK_SIZE)


def test_without_the_lineage_everything_is_compared(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=256))
    taken(world, "s1")
    copy(world, "s1", "f1")
    world.settle()
    # The twin goes, so only the target has what the copy could be counted from.
    world.write(disk_id, 5 * BLOCK_SIZE, content(2))
    world.zero(disk_id, 7 * BLOCK_SIZE, BLOCK_SIZE)
    taken(world, "s2")
    world.call("DeleteDiskSnapshot", diskSnapshotName="s1")
    world.settle()
    wanted = world.read(disk_id, 0, 256 * BLOCK_SIZE)

    copy(world, "s2", "f2")
    world.settle()

    assert cost(world, "f2") == (snapshot_id(world, "f1"), 2 * BLOCK_SIZE)
    assert held(world, "f2", len(wanted)) == wanted


def test_a_grown_disk_is_copied_after_its_smaller_self(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=4))
    taken(world, "s1")
    larger = restore(world, "s1", "larger", size=12)
    world.write(larger, 11 * 1024**3, content(2))
    taken(world, "l1", "larger")
    copy(world, "l1", "fl")
    world.settle()

    copy(world, "s1", "f1")
    world.settle()

    # The larger one cannot be the parent of the smaller.
    assert cost(world, "f1")[0] is None
    assert held(world, "f1", 4 * BLOCK_SIZE) == world.read(disk_id, 0, 4 * BLOCK_SIZE)


def test_a_copy_within_the_region_costs_nothing(world: World) -> None:
    disk_id = world.disk()
    data = content(1, blocks=300)
    world.write(disk_id, 0, data)
    taken(world, "first")
    segments = set(world.stores[REGION].names(SEGMENTS))

    copy(world, "first", "again", to=REGION)
    world.settle()
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()

    assert cost(world, "again", REGION)[1] == 0
    assert set(world.stores[REGION].names(SEGMENTS)) == segments
    assert world.read(restore(world, "again"), 0, len(data)) == data


def test_a_copy_does_not_disturb_the_disks_own_lineage(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=64))
    taken(world, "s1")
    copy(world, "s1", "again", to=REGION)
    copy(world, "s1", "far")
    world.settle()
    world.write(disk_id, 0, content(2))
    taken(world, "s2")

    parent = snapshot_id(world, "s1", REGION)
    assert cost(world, "s2", REGION) == (parent, BLOCK_SIZE)
    # A pending copy takes no place among the disk's pending snapshots.
    for number in range(6):
        copy(world, "s2", f"p{number}")
    world.snapshot("s3")
    world.settle()
    assert world.state("s3")["state"] == "completed"


def test_the_source_may_go_meanwhile(world: World) -> None:
    disk_id = world.disk()
    data = content(1, blocks=3)
    world.write(disk_id, 0, data)
    taken(world, "first")
    copy(world, "first", "far")

    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()

    assert held(world, "far", len(data)) == data
    assert list(world.vault.snapshot_ids()) == []


def test_a_pending_copy_that_is_deleted_leaves_nothing(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1))
    taken(world, "first")
    copy(world, "first", "far")

    world.call("DeleteDiskSnapshot", region=FAR, diskSnapshotName="far")
    world.settle()

    assert world.call("GetActiveNames", region=FAR)["activeNames"] == []
    assert list(world.backend.vaults[FAR].snapshot_ids()) == []
    assert list(world.stores[FAR].names(SEGMENTS)) == []
    (deleted, copied) = world.call("GetOperationsForResource", region=FAR, resourceName="far")[
        "operations"
    ]
    assert (deleted["status"], copied["status"]) == ("Succeeded", "Failed")
    assert copied["errorCode"] == "Canceled"
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_damage_in_the_source_is_told_and_nothing_is_kept(world: World) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1))
    taken(world, "first")
    copy(world, "first", "far")
    world.damage()

    world.settle()

    far = world.call("GetDiskSnapshot", region=FAR, diskSnapshotName="far")["diskSnapshot"]
    assert far["state"] == "error"
    (operation,) = world.call("GetOperations", region=FAR)["operations"]
    assert (operation["status"], operation["errorCode"]) == ("Failed", "Damage")
    assert "is damaged in bytes 0 to 4095" in operation["errorDetails"]
    assert list(world.backend.vaults[FAR].snapshot_ids()) == []


def test_damage_in_the_twin_costs_only_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, content(1, blocks=64))
    taken(world, "s1")
    copy(world, "s1", "f1")
    world.settle()
    world.write(disk_id, 0, content(2))
    taken(world, "s2")

    def damaged(*_: object) -> None:
        raise DamageError("a page of the map is not what was stored")

    monkeypatch.setattr("mooring.vault.reading.reader.SnapshotReader.changes", damaged)
    copy(world, "s2", "f2")
    world.settle()

    assert cost(world, "f2") == (snapshot_id(world, "f1"), BLOCK_SIZE)
    assert held(world, "f2", 64 * BLOCK_SIZE) == world.read(disk_id, 0, 64 * BLOCK_SIZE)


def test_what_cannot_be_copied(world: World) -> None:
    world.disk()
    world.snapshot("first")
    with pytest.raises(OperationFailureException) as caught:
        copy(world, "first", "far")
    assert caught.value.message == (
        "You can't copy the snapshot first right now. The state of this snapshot is: pending"
    )
    world.settle()
    with pytest.raises(NotFoundException, match="The snapshot does not exist: nope"):
        copy(world, "nope", "far")
    with pytest.raises(InvalidInputException, match="mars-1 is not served here"):
        copy(world, "first", "far", frm="mars-1")
    with pytest.raises(InvalidInputException, match="already in use: first"):
        copy(world, "first", "first", to=REGION)
    with pytest.raises(InvalidInputException, match="not a valid resource name"):
        copy(world, "first", "-")
    with pytest.raises(InvalidInputException, match="either sourceSnapshotName"):
        world.call("CopySnapshot", sourceRegion=REGION, targetSnapshotName="x1")
    with pytest.raises(InvalidInputException, match="either sourceSnapshotName"):
        copy(world, "first", "far", sourceResourceName="data")
    with pytest.raises(InvalidInputException, match="omit them"):
        copy(world, "first", "far", restoreDate="2026-11-24")
    assert world.call("GetActiveNames", region=FAR)["activeNames"] == []


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


MOMENTS = [
    *(
        (step.name, moment)
        for step in PROCEDURES[JobKind.COPY_SNAPSHOT].steps
        for moment in ("begin", "done", "recorded")
    ),
    ("copy", "root"),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_copy_completes(moment: tuple[str, str]) -> None:
    at: list[tuple[str, str]] = []

    def observe(job: Job, step: str, now: str) -> None:
        if job.kind is JobKind.COPY_SNAPSHOT and (step, now) in at:
            at.clear()
            raise Killed

    world = World(observe)
    disk_id = world.disk()
    data = os.urandom(3 * BLOCK_SIZE)
    world.write(disk_id, 0, data)
    taken(world, "first")
    at.append(moment)
    if moment[1] == "root":
        # All is written but the root.
        world.ways[FAR].before = once(puts_a_root, _die)
    copy(world, "first", "far")
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    assert held(world, "far", len(data)) == data
    (operation,) = world.call("GetOperations", region=FAR)["operations"]
    assert operation["status"] == "Succeeded"
    world.close()


def puts_a_root(operation: str, name: str) -> bool:
    return operation == "put" and name.startswith("roots/")


def _die() -> None:
    raise Killed


def count_reads(patch: pytest.MonkeyPatch, lengths: list[int]) -> None:
    read = SnapshotReader.read

    def counted(reader: SnapshotReader, offset: int, length: int) -> Buffer:
        lengths.append(length)
        return read(reader, offset, length)

    patch.setattr(SnapshotReader, "read", counted)
