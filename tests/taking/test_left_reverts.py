"""Reverts whose host was lost before they were confirmed, where others reach the layers."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.errors import FencedError, OperationFailureException
from mooring.model.extents import BLOCK_SIZE
from tests.service.test_fencing import add_host
from tests.service.test_lost_hosts import SharedEngine, engine_of, host_of, world
from tests.service.world import ZONE, World

__all__ = ["world"]

pytestmark = pytest.mark.full

OLD, NEW = b"o" * BLOCK_SIZE, b"n" * BLOCK_SIZE


def lose_host(world: World) -> None:
    """Let the disk, with what is done to it, have been the host `lost`'s, which is fenced."""
    add_host(world, "lost", shares=True)
    with world.catalog.write() as transaction:
        transaction.disks.change(world.disk_id("data"), host="lost")
        for job in transaction.jobs.all():
            transaction.jobs.give(job, "lost")
    world.act("fence", hostName="lost", force=True)


def take_over(world: World) -> None:
    engine_of(world).problem_now = None
    told = world.act("restore-host", hostName="lost", targetName=world.backend.host)
    assert told["left"] == []
    world.settle()
    assert host_of(world) == world.backend.host


def reverted(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    *,
    done: bool = True,
    problem: Exception | None = None,
) -> None:
    """Ask for a revert, whose host is lost when it has reverted the disk, or just before."""
    world.write(world.disk_id("data"), 0, OLD)
    world.snapshot("first")
    world.settle()
    world.write(world.disk_id("data"), 0, NEW)
    revert = SharedEngine.revert

    def lost(*given: Any, **more: Any) -> None:
        if done:
            revert(*given, **more)
        lose_host(world)
        engine_of(world).problem_now = problem
        if problem is not None:
            raise problem

    with monkeypatch.context() as patch:
        patch.setattr(SharedEngine, "revert", lost)
        with pytest.raises(OperationFailureException):
            world.act(
                "revert", diskName="data", diskSnapshotName="first", keptSnapshotName="before"
            )


def names(world: World) -> dict[str, str]:
    found = world.call("GetDiskSnapshots")["diskSnapshots"]
    return {one["name"]: one["state"] for one in found}


def content(world: World) -> bytes:
    return world.read(world.disk_id("data"), 0, BLOCK_SIZE)


@pytest.mark.parametrize(
    "problem", [None, FencedError("shut out")], ids=["it wakes", "it is shut out"]
)
def test_what_was_to_be_kept_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception | None
) -> None:
    reverted(world, monkeypatch, problem=problem)
    take_over(world)

    assert names(world) == {"first": "completed", "before": "completed"}
    assert content(world) == OLD
    world.call(
        "CreateDiskFromSnapshot",
        diskName="kept",
        diskSnapshotName="before",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    world.settle()
    assert world.read(world.disk_id("kept"), 0, BLOCK_SIZE) == NEW


def test_one_that_was_not_done_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reverted(world, monkeypatch, done=False, problem=FencedError("shut out"))
    take_over(world)

    assert names(world) == {"first": "completed"}
    assert content(world) == NEW
    with world.catalog.read() as transaction:
        assert not transaction.jobs.all()


def test_a_deleted_disk_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reverted(world, monkeypatch, problem=FencedError("shut out"))
    engine_of(world).problem_now = None
    world.backend.hosts.forget()
    world.call("DeleteDisk", diskName="data")
    world.settle()
    assert names(world) == {"first": "completed"}
    with world.catalog.read() as transaction:
        assert not transaction.jobs.all()
