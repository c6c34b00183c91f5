"""Disks made while the catalog was copied, and used before the copy was put back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.recovery.disks import enter_disks, read_descriptions
from mooring.backend.backend import Backend
from mooring.engine.zones import Engines
from mooring.jobs.keep_catalog import Describer
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.disk import DiskState
from mooring.model.resources.job_arguments import MoveDisks
from tests.service.test_restored_catalogs import Copied
from tests.service.world import REGION, ZONE, World

DATA, SINCE = os.urandom(BLOCK_SIZE), os.urandom(BLOCK_SIZE)
PLACES = {"availabilityZone": ZONE, "bundleId": "external", "instanceSnapshotName": "all"}


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    """A world with a disk that is attached, and snapshots."""
    copied = Copied(tmp_path)
    world = copied.world
    world.disk()
    world.instance()
    world.attach()
    world.engine.write(world.disk_id("data"), 0, DATA)
    world.snapshot("first")
    world.instance_snapshot("all")
    world.settle()
    return copied


def use(world: World, *names: str) -> None:
    """Let the server describe disks, and somebody write to them."""
    world.settle()
    Describer(world.catalog, Engines(world.engines)).look()
    for name in names:
        disk_id = world.disk_id(name)
        if disk_id in [one for served in world.engine.served().values() for one in served]:
            world.engine.write(disk_id, BLOCK_SIZE, SINCE)
        else:
            world.write(disk_id, BLOCK_SIZE, SINCE)


def held(world: World, name: str) -> bytes:
    disk_id = world.disk_id(name)
    if disk_id in [one for served in world.engine.served().values() for one in served]:
        return world.engine.read(disk_id, 0, 2 * BLOCK_SIZE)
    return world.read(disk_id, 0, 2 * BLOCK_SIZE)


def disk(world: World, name: str) -> tuple[str, str | None]:
    found = world.call("GetDisk", diskName=name)["disk"]
    return found["state"], found.get("attachedTo")


def no_jobs(world: World) -> None:
    world.settle(300)
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def copy_before(copied: Copied, monkeypatch: pytest.MonkeyPatch, ability: str) -> None:
    """Copy the catalog when the engine is first to do this."""
    does, copies = getattr(copied.world.engine, ability), [copied.copy]

    def copying(*given: Any, **more: Any) -> Any:
        while copies:
            copies.pop()()
        return does(*given, **more)

    monkeypatch.setattr(copied.world.engine, ability, copying)


def test_a_new_disk_that_has_grown_since(copied: Copied) -> None:
    world = copied.world
    world.call("CreateDisk", diskName="new", availabilityZone=ZONE, sizeInGb=8)
    copied.copy()
    use(world, "new")
    world.act("grow", diskName="new", sizeInGb=16)
    world.settle()

    copied.put_back()
    no_jobs(world)

    assert disk(world, "new") == ("available", None)
    assert held(world, "new") == bytes(BLOCK_SIZE) + SINCE


def test_a_disk_of_a_snapshot_that_was_deleted_since(copied: Copied) -> None:
    world = copied.world
    world.call(
        "CreateDiskFromSnapshot",
        diskName="new",
        diskSnapshotName="first",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    copied.copy()
    use(world, "new")
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()

    copied.put_back()
    no_jobs(world)

    assert disk(world, "new") == ("available", None)
    assert held(world, "new") == DATA + SINCE


def test_a_disk_that_was_filled_since_waits_for_no_snapshot(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = copied.world
    copy_before(copied, monkeypatch, "fill")
    world.call(
        "CreateDiskFromSnapshot",
        diskName="new",
        diskSnapshotName="first",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    world.settle()
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    world.settle()
    (whole,) = world.vault.snapshot_ids()

    copied.put_back()
    world.call("DeleteDiskSnapshot", diskSnapshotName="first")
    no_jobs(world)

    assert held(world, "new") == DATA + bytes(BLOCK_SIZE)
    assert list(world.vault.snapshot_ids()) == [whole]


def test_an_instance_of_a_snapshot_that_was_deleted_since(copied: Copied) -> None:
    world = copied.world
    world.call("CreateInstancesFromSnapshot", instanceNames=["new"], **PLACES)
    copied.copy()
    use(world)
    (name,) = (one["name"] for one in disks_of(world, "new"))
    use(world, name)
    world.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    world.settle()

    copied.put_back()
    no_jobs(world)

    assert disk(world, name) == ("in-use", "new")
    assert held(world, name) == DATA + SINCE
    found = world.call("GetInstance", instanceName="new")["instance"]
    assert found["state"]["name"] == "running"


def test_a_fork(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    world = copied.world
    copy_before(copied, monkeypatch, "fork")
    world.act("fork", diskName="data", newDiskName="new")
    use(world, "new")

    copied.put_back()
    no_jobs(world)

    assert disk(world, "new") == ("available", None)
    assert held(world, "new") == DATA + SINCE


def test_a_fork_of_an_instance_of_which_a_disk_was_deleted_since(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = copied.world
    world.disk("logs")
    world.attach("logs", path="/dev/xvdg")
    copy_before(copied, monkeypatch, "fork")
    world.act("fork-instance", instanceName="web", newInstanceName="new")
    use(world)
    kept, gone = sorted(one["name"] for one in disks_of(world, "new"))
    use(world, kept)
    world.call("DetachDisk", diskName=gone)
    world.settle()
    world.call("DeleteDisk", diskName=gone)
    world.settle()

    copied.put_back()
    no_jobs(world)

    assert [one["name"] for one in disks_of(world, "new")] == [kept]
    assert disk(world, kept) == ("in-use", "new")
    assert held(world, kept) == DATA + SINCE


@pytest.mark.parametrize("forked", [False, True])
def test_where_it_is_attached_by_now_is_kept(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, forked: bool
) -> None:
    world = copied.world
    copy_before(copied, monkeypatch, "fork")
    if forked:
        world.act("fork", diskName="data", newDiskName="new")
    else:
        world.call("CreateDisk", diskName="new", availabilityZone=ZONE, sizeInGb=8)
        copied.copy()
    world.settle()
    world.attach("new", path="/dev/xvdg")
    use(world, "new")

    copied.put_back(add)
    no_jobs(world)

    assert disk(world, "new") == ("in-use", "web")
    assert held(world, "new")[BLOCK_SIZE:] == SINCE


def move(world: World, name: str, by: str) -> None:
    """Have a disk come here from another host, by a snapshot that is stored."""
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, name)
        stored = transaction.snapshots.by_name(REGION, by)
        assert disk is not None
        assert stored is not None
        transaction.disks.change(disk.id, host="other", state=DiskState.PENDING)
        arguments = MoveDisks(instance="", disks=(disk.id,), snapshots=(stored.id,), source="other")
        transaction.jobs.add(world.job(arguments, world.backend.host))


def test_a_disk_that_came_from_another_host_since(copied: Copied) -> None:
    world = copied.world
    world.disk("new")
    world.snapshot("by", "new")
    world.settle()
    move(world, "new", "by")
    copied.copy()
    use(world, "new")

    copied.put_back()
    no_jobs(world)

    assert disk(world, "new") == ("available", None)
    assert held(world, "new") == bytes(BLOCK_SIZE) + SINCE


def test_what_was_never_made_is_taken_back(copied: Copied) -> None:
    world = copied.world
    world.call("CreateDisk", diskName="new", availabilityZone=ZONE, sizeInGb=8)
    copied.copy()

    copied.put_back()
    no_jobs(world)

    assert disk(world, "new") == ("available", None)


def add(backend: Backend) -> None:
    """As `mooringd recover --add` does."""
    found, unreadable = read_descriptions(backend, [REGION])
    assert not unreadable
    with backend.catalog.write() as transaction:
        enter_disks(transaction, backend, found)


def disks_of(world: World, instance: str) -> list[Any]:
    found = world.call("GetInstance", instanceName=instance)["instance"]["hardware"]["disks"]
    return list(found)
