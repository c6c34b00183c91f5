"""The job that lets a fork stand alone, while something is made of that fork."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mooring.catalog.database import Catalog
from mooring.engine.interface import Freeze
from mooring.model.extents import BLOCK_SIZE
from tests.service.world import World

DATA, OTHER = b"d" * BLOCK_SIZE, b"o" * BLOCK_SIZE


@pytest.fixture
def world() -> World:
    world = World()
    world.disk()
    return world


def fork(world: World, disk: str, name: str, **more: str) -> None:
    world.act("fork", diskName=disk, newDiskName=name, **more)


def test_a_fork_of_a_fork_whose_job_comes_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would release the point that was just frozen, and let what comes after merge below it."""
    freeze = world.engine.freeze

    def then_the_job(points: Mapping[str, str]) -> Freeze:
        frozen = freeze(points)
        one = world.disk_id("one")
        world.write(one, 0, OTHER)
        world.clock.advance(10)
        world.runner.drain()
        other = world.backend.ids.new_id()
        freeze({one: other})
        world.engine.release(one, other, stored=False)
        return frozen

    world.write(world.disk_id("data"), 0, DATA)
    fork(world, "data", "one")
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "freeze", then_the_job)
        fork(world, "one", "two")

    assert world.read(world.disk_id("two"), 0, BLOCK_SIZE) == DATA
    world.settle()
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_a_snapshot_of_a_fork_whose_job_looks_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job sees its point, and has looked at the catalog before it was recorded there."""
    world = World(catalog=Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}"))
    world.disk()
    fork(world, "data", "one")
    world.write(world.disk_id("one"), 0, DATA)
    points, release = world.engine.points, world.engine.release

    def just_taken(disk: str) -> Sequence[str]:
        monkeypatch.setattr(world.engine, "points", points)
        world.snapshot("snap", "one")
        world.write(disk, 0, OTHER)
        return points(disk)

    def then_frozen_again(disk: str, point: str, *, stored: bool) -> None:
        release(disk, point, stored=stored)
        world.engine.freeze({disk: world.backend.ids.new_id()})

    monkeypatch.setattr(world.engine, "points", just_taken)
    monkeypatch.setattr(world.engine, "release", then_frozen_again)
    world.clock.advance(10)
    world.settle()

    assert world.state("snap")["state"] == "completed"
    made: dict[str, Any] = {"availabilityZone": "us-east-2a", "sizeInGb": 8}
    world.call("CreateDiskFromSnapshot", diskName="again", diskSnapshotName="snap", **made)
    world.settle()
    assert world.read(world.disk_id("again"), 0, BLOCK_SIZE) == DATA
    world.close()
