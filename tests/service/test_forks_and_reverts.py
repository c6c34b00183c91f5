"""Forks and reverts of one disk at the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.engine.interface import Filling
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.recover import recover
from mooring.model.errors import DiskFullError, OperationFailureException
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job_arguments import FillDisk
from mooring.model.resources.job_kind import JobKind
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from mooring.taking import freezing
from tests.service.world import REGION, World

CONTENT = {number: bytes([number]) * BLOCK_SIZE for number in (1, 2)}


@pytest.fixture
def world() -> World:
    """A disk with the snapshots `at-1` and `at-2`, reverted to the first; nothing is filled yet."""
    world = World()
    disk = world.disk()
    for number, content in CONTENT.items():
        world.write(disk, 0, content)
        world.snapshot(f"at-{number}")
        world.settle()
    act(world, "revert", diskSnapshotName="at-1", discard=True)
    return world


def act(world: World, action: str, **params: Any) -> Mapping[str, Any]:
    context = Context(REGION, "AKIATEST", "request", None, 0)
    return own_handlers(world.backend)[action](context, {"diskName": "data", **params})


def fork(world: World) -> Mapping[str, Any]:
    return act(world, "fork", newDiskName="fork")


def to_the_second(world: World) -> None:
    act(world, "revert", diskSnapshotName="at-2", discard=True)


def all_alone(world: World, name: str, number: int) -> None:
    """Nothing is left to do, the disk holds the snapshot, and no longer needs it."""
    for snapshot in ("at-1", "at-2"):
        world.call("DeleteDiskSnapshot", diskSnapshotName=snapshot)
    world.settle()
    disk = world.disk_id(name)
    assert world.engine.filling(disk) is None
    assert world.read(disk, 0, BLOCK_SIZE) == CONTENT[number]
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


@pytest.mark.parametrize("when", ["before the freeze", "after the freeze"])
def test_a_fork_of_a_disk_that_is_reverted_meanwhile_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Its base would be read from one snapshot, and the catalog would know of another."""
    place = freezing if when == "before the freeze" else world.engine
    name = "freeze" if when == "before the freeze" else "fork"
    done = getattr(place, name)

    def reverted_first(*params: Any) -> Any:
        to_the_second(world)
        return done(*params)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, reverted_first)
        with pytest.raises(OperationFailureException, match="data was reverted just now, so it"):
            fork(world)
    assert [one["name"] for one in world.call("GetDisks")["disks"]] == ["data"]

    fork(world)
    world.call("DeleteDisk", diskName="data")
    all_alone(world, "fork", 2)


def recorded_wrongly(world: World) -> str:
    """A fork as an earlier version left it: made from the other snapshot, says the catalog."""
    fork(world)
    disk = world.disk_id("fork")
    with world.catalog.write() as transaction:
        wrong = transaction.snapshots.by_name(REGION, "at-2")
        row = transaction.disks.by_id(disk)
        assert wrong is not None
        assert row is not None
        transaction.disks.set_origin(disk, wrong.id, ())
        for job in transaction.jobs.of_kind(JobKind.FILL_DISK):
            if job.given(FillDisk).disk == disk:
                transaction.jobs.remove_all(job.id)
        transaction.jobs.add(fill_job(world.backend, row, wrong.id))
    return disk


def problems(world: World) -> dict[str, str]:
    """What `mooringd doctor` tells of disks."""
    told = act(world, "disks")["disks"]
    return {one["diskName"]: one["problem"] for one in told if not one["ok"]}


def test_a_fork_that_was_recorded_wrongly_is_told_and_mended(world: World) -> None:
    assert problems(world) == {}
    recorded_wrongly(world)

    (problem,) = problems(world).values()
    assert "but is recorded as made from" in problem
    world.settle()
    recover(world.backend)

    assert problems(world) == {}
    assert act(world, "disk", diskName="fork")["originName"] == "at-1"
    world.call("DeleteDisk", diskName="data")
    all_alone(world, "fork", 1)


def test_a_disk_whose_snapshot_is_gone_before_it_is_filled_is_told(world: World) -> None:
    with world.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_name(REGION, "at-1")
    assert snapshot is not None
    world.vault.delete(snapshot.id)

    (problem,) = problems(world).values()
    assert "is gone from the vault" in problem


def test_a_fork_of_a_disk_that_is_filled_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = world.engine.fork

    def filled_after(*params: Any) -> int:
        size = done(*params)
        world.settle()
        assert world.engine.filling(world.disk_id("data")) is None
        world.call("DeleteDiskSnapshot", diskSnapshotName="at-1")
        world.settle()
        return size

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "fork", filled_after)
        fork(world)
    world.settle()

    assert world.engine.filling(world.disk_id("fork")) is None
    assert world.read(world.disk_id("fork"), 0, BLOCK_SIZE) == CONTENT[1]


def test_two_reverts_that_are_confirmed_the_other_way_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = world.engine.revert

    def overtaken(*params: Any, **named: Any) -> None:
        done(*params, **named)
        with monkeypatch.context() as patch:
            patch.setattr(world.engine, "revert", done)
            to_the_second(world)

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "revert", overtaken)
        act(world, "revert", diskSnapshotName="at-1", discard=True)

    assert act(world, "disk")["originName"] == "at-2"
    all_alone(world, "data", 2)


def test_a_filling_does_not_hold_up_the_one_of_a_revert(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may notice the revert before the catalog knows of it."""
    done = world.engine.revert

    def noticed(*params: Any, **named: Any) -> None:
        done(*params, **named)
        world.runner.drain()

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "revert", noticed)
        to_the_second(world)
    world.settle(2)

    told = act(world, "disk")
    assert (told["filled"], told["problem"]) == (True, None)


def test_why_a_fork_is_not_copied_yet_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settle()
    fork(world)

    def full(*_: object) -> None:
        raise DiskFullError("there is no room")

    monkeypatch.setattr(world.engine, "stand_alone", full)
    monkeypatch.setattr(world.engine, "filling", lambda _disk: Filling(1, 2, forked=True))
    world.runner.drain()

    told = act(world, "disk", diskName="fork")
    assert (told["filled"], told["problem"]) == (False, "there is no room")
    assert act(world, "disk")["problem"] is None
