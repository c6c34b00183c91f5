"""Disks that grow in place."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.model.resources.disk import DiskState
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.test_snapshots import restore
from tests.service.world import REGION, World


def grow(world: World, disk: str, size_gb: int) -> dict[str, Any]:
    context = Context(REGION, "test", "request", None, 0)
    return own_handlers(world.backend)["grow"](context, {"diskName": disk, "sizeInGb": size_gb})


def size_of(world: World, disk: str = "data") -> int:
    return int(world.call("GetDisk", diskName=disk)["disk"]["sizeInGb"])


def test_a_disk_in_use_grows(world: World) -> None:
    disk = world.disk()
    world.instance()
    world.attach()
    world.engine.write(disk, 0, b"a" * BLOCK_SIZE)

    (operation,) = grow(world, "data", 16)["operations"]
    world.settle()

    assert operation["operationType"] == "GrowDisk"
    assert operation["resourceName"] == "data"
    assert world.operations("data")[0]["status"] == "Succeeded"
    assert size_of(world) == 16
    assert world.engine.read(disk, 0, BLOCK_SIZE) == b"a" * BLOCK_SIZE
    assert world.engine.read(disk, 16 * GIB - BLOCK_SIZE, BLOCK_SIZE) == bytes(BLOCK_SIZE)


@pytest.mark.parametrize("size_gb", [8, 16])
def test_a_smaller_or_equal_size_is_refused(world: World, size_gb: int) -> None:
    world.disk(size=16)

    with pytest.raises(InvalidInputException, match=f"has 16 GB and cannot get {size_gb} GB"):
        grow(world, "data", size_gb)

    assert size_of(world) == 16


def test_limits_are_those_of_new_disks(world: World) -> None:
    disk = world.disk()

    with pytest.raises(InvalidInputException, match="between 8 and 16384 GB"):
        grow(world, "data", 16385)
    with pytest.raises(NotFoundException, match="nothing"):
        grow(world, "nothing", 16)
    with world.catalog.write() as transaction:
        transaction.disks.change(disk, state=DiskState.ERROR)
    with pytest.raises(OperationFailureException, match="state of this disk is: error"):
        grow(world, "data", 16)


def test_snapshots_have_the_size_that_the_disk_had(world: World) -> None:
    disk = world.disk()
    world.instance()
    world.attach()
    world.engine.write(disk, 0, b"a" * BLOCK_SIZE)
    world.snapshot("before")
    grow(world, "data", 16)
    world.settle()
    world.engine.write(disk, 16 * GIB - BLOCK_SIZE, b"b" * BLOCK_SIZE)
    world.snapshot("after")
    world.settle()

    assert [world.state(name)["sizeInGb"] for name in ("before", "after")] == [8, 16]
    with world.catalog.read() as transaction:
        after = transaction.snapshots.by_name(REGION, "after")
    assert after is not None
    assert after.parent_id is not None
    assert after.changed_bytes == BLOCK_SIZE
    old = restore(world, "before", "old")
    new = restore(world, "after", "new", size=16)
    assert world.read(old, 0, BLOCK_SIZE) == b"a" * BLOCK_SIZE
    assert world.read(new, 0, BLOCK_SIZE) == b"a" * BLOCK_SIZE
    assert world.read(new, 16 * GIB - BLOCK_SIZE, BLOCK_SIZE) == b"b" * BLOCK_SIZE


def test_snapshot_between_growth_and_its_record_has_the_larger_size(world: World) -> None:
    disk = world.disk()
    world.instance()
    world.attach()
    world.engine.grow(disk, 16 * GIB)  # as a server that was killed then leaves it
    world.snapshot("between")
    world.settle()

    assert world.state("between")["sizeInGb"] == 16
    grow(world, "data", 16)
    world.settle()
    assert size_of(world) == 16
    assert world.operations("data")[0]["status"] == "Succeeded"


def test_what_made_it_larger_meanwhile_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork is reverted to a larger snapshot of the first disk before the growth is recorded."""
    world.disk()
    world.act("fork", diskName="data", newDiskName="small")
    grow(world, "data", 32)
    world.settle()
    world.snapshot("large")
    world.settle()
    make_larger = world.engine.grow

    def meddle(disk_id: str, size: int) -> None:
        make_larger(disk_id, size)
        world.act("revert", diskName="small", diskSnapshotName="large", discard=True)

    monkeypatch.setattr(world.engine, "grow", meddle)
    grow(world, "small", 16)
    world.settle()

    assert world.operations("small")[0]["status"] == "Succeeded"
    assert size_of(world, "small") == 32


def test_less_than_a_growth_under_way_is_refused(world: World) -> None:
    world.disk()
    grow(world, "data", 20)

    with pytest.raises(InvalidInputException, match="growing to 20 GB right now and cannot get 16"):
        grow(world, "data", 16)
    grow(world, "data", 32)
    world.settle()

    assert size_of(world) == 32
