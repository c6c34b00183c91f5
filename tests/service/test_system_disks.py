"""System disks: snapshots by the name of their instance."""

from __future__ import annotations

import pytest

from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.resources.snapshot_origin import with_origin
from mooring.model.resources.system_disk import SYSTEM_DISK_TAG
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

SYSTEM = content(1)
"""What the system disk holds."""


def named(disk: str) -> list[dict[str, str]]:
    """Tags of an instance that call the disk its system disk."""
    return [{"key": SYSTEM_DISK_TAG, "value": disk}]


@pytest.fixture
def booted(world: World) -> World:
    """A machine `web` that boots from the disk `root`, and has the disk `data` besides."""
    world.instance(tags=named("root"))
    for disk, path in (("root", "/dev/xvda"), ("data", "/dev/xvdf")):
        world.disk(disk)
        world.attach(disk, path=path)
    world.engine.write(world.disk_id("root"), 0, SYSTEM)
    return world


def of_instance(world: World, snapshot: str = "first", instance: str = "web") -> None:
    world.call("CreateDiskSnapshot", instanceName=instance, diskSnapshotName=snapshot)


def test_the_instance_stands_for_its_system_disk(booted: World) -> None:
    result = booted.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="first")
    assert [
        (one["resourceType"], one["resourceName"], one["operationDetails"], one["operationType"])
        for one in result["operations"]
    ] == [
        ("DiskSnapshot", "first", "web", "CreateDiskSnapshot"),
        ("Instance", "web", "first", "CreateDiskSnapshot"),
    ]
    booted.settle()

    shown = booted.state("first")
    instance = booted.call("GetInstance", instanceName="web")["instance"]
    assert shown["state"] == "completed"
    assert (shown["fromInstanceName"], shown["fromInstanceArn"]) == ("web", instance["arn"])
    assert "fromDiskName" not in shown
    assert "fromDiskArn" not in shown


def test_only_what_changed_is_stored_whoever_is_named(booted: World) -> None:
    booted.snapshot("by-disk", disk="root")
    booted.settle()
    of_instance(booted, "by-instance")
    booted.settle()
    with booted.catalog.read() as transaction:
        disk = transaction.snapshots.by_name(REGION, "by-disk")
        instance = transaction.snapshots.by_name(REGION, "by-instance")
    assert disk is not None
    assert instance is not None
    assert instance.parent_id == disk.id


def test_a_rescue(booted: World) -> None:
    of_instance(booted)
    booted.settle()
    booted.call(
        "CreateDiskFromSnapshot",
        diskSnapshotName="first",
        diskName="rescue",
        sizeInGb=8,
        availabilityZone=ZONE,
    )
    booted.settle()
    booted.instance("other")
    booted.attach("rescue", "other")
    assert booted.engine.read(booted.disk_id("rescue"), 0, len(SYSTEM)) == SYSTEM


def test_the_instance_shows_which_disk_it_is(booted: World) -> None:
    shown = booted.call("GetInstance", instanceName="web")["instance"]["hardware"]["disks"]
    assert {one["name"]: one["isSystemDisk"] for one in shown} == {"root": True, "data": False}


def test_its_root_tells_whom_it_was_asked_of(booted: World) -> None:
    of_instance(booted)
    booted.settle()
    with booted.catalog.read() as transaction:
        known = transaction.snapshots.by_name(REGION, "first")
    assert known is not None
    bare = with_origin(known, {})
    assert bare.from_instance_id is None
    assert with_origin(bare, booted.vault.root(known.id).info.extra) == known


def test_a_copy_is_of_the_same_instance(booted: World) -> None:
    of_instance(booted)
    booted.settle()
    booted.call(
        "CopySnapshot",
        sourceSnapshotName="first",
        targetSnapshotName="there",
        sourceRegion=REGION,
        region="us-west-2",
    )
    booted.settle()
    found = booted.call("GetDiskSnapshot", diskSnapshotName="there", region="us-west-2")
    shown = found["diskSnapshot"]
    assert shown["fromInstanceName"] == "web"
    assert shown["fromInstanceArn"] == booted.state("first")["fromInstanceArn"]


def test_an_instance_without_a_system_disk_is_told_what_to_do(world: World) -> None:
    world.instance()
    with pytest.raises(InvalidInputException, match=f"(?s){SYSTEM_DISK_TAG}.*diskName") as refused:
        of_instance(world)
    assert refused.value.code == "UnsupportedOperation"


def test_the_disk_that_the_tag_names_must_be_attached(booted: World) -> None:
    booted.call("DetachDisk", diskName="root")
    with pytest.raises(OperationFailureException, match="root is detaching"):
        of_instance(booted)
    booted.settle()
    with pytest.raises(InvalidInputException, match="names the disk root, which is not attached"):
        of_instance(booted)


def test_the_tag_must_name_a_disk(world: World) -> None:
    with pytest.raises(InvalidInputException, match="must be the name of a disk"):
        world.instance(tags=named("../root"))
    with pytest.raises(InvalidInputException, match="belongs on a resource of the type Instance"):
        world.disk(tags=named("root"))


def test_the_disk_must_be_the_callers_too(world: World) -> None:
    mine = {"key": "team", "value": "a"}
    bound = Access("ann", Role.OPERATOR, {"team": "a"})
    world.instance(tags=[mine, *named("root")])
    world.disk("root")
    world.attach("root", path="/dev/xvda")
    with pytest.raises(AccessDeniedException, match="not all disks attached"):
        world.call(
            "CreateDiskSnapshot",
            instanceName="web",
            diskSnapshotName="first",
            tags=[mine],
            access=bound,
        )
