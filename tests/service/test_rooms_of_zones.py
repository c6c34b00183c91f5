"""Zones with a file system of their own: nothing takes room where that has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.host.mount_points import MountPoints
from mooring.host.rooms import Rooms, of_zone
from mooring.jobs.automatic.due import take_due
from mooring.model.errors import OperationFailureException
from tests.service.world import ZONE, World


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where it is noted that something must be mounted."""
    return tmp_path / "noted"


@pytest.fixture
def away(tmp_path: Path, record: Path) -> Callable[[], None]:
    """Lets the place of the zone be away."""

    def go() -> None:
        record.write_text(f"{tmp_path / 'place'}\n")

    return go


@pytest.fixture
def world(tmp_path: Path, record: Path) -> World:
    """With an instance `web` that has the disk `data`, of which there is a snapshot `first`."""
    use = of_zone(ZONE)
    mounts = MountPoints(record, tmp_path / "fstab")
    world = World(rooms=Rooms({use: tmp_path / "place"}, 0, mounts=mounts, mounted=[use]))
    world.disk()
    world.instance()
    world.attach()
    world.snapshot("first")
    world.settle()
    return world


ACTS: dict[str, Callable[[World], Any]] = {
    "a snapshot": lambda world: world.snapshot("new"),
    "a snapshot of an instance": lambda world: world.instance_snapshot("new"),
    "a fork": lambda world: world.act("fork", diskName="data", newDiskName="new"),
    "a fork of an instance": lambda world: world.act(
        "fork-instance", instanceName="web", newInstanceName="new"
    ),
    "a growth": lambda world: world.act("grow", diskName="data", sizeInGb=16),
    "a revert": lambda world: world.act(
        "revert", diskName="data", diskSnapshotName="first", keptSnapshotName="new"
    ),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_takes_room_is_refused(
    world: World, away: Callable[[], None], record: Path, act: Callable[[World], Any]
) -> None:
    away()
    with pytest.raises(OperationFailureException, match="not possible right now"):
        act(world)
    assert world.call("GetActiveNames")["activeNames"] == ["data", "first", "web"]
    world.settle()
    assert world.call("GetDisk", diskName="data")["disk"]["sizeInGb"] == 8
    record.unlink()
    act(world)


def test_automatic_snapshots_wait(world: World, away: Callable[[], None], record: Path) -> None:
    tags = [{"key": "mooring:snapshots", "value": "every minute keep 1 hour"}]
    world.call("TagResource", resourceName="data", tags=tags)
    world.clock.advance(60)
    away()
    assert take_due(world.backend) == 1
    world.settle(10)
    assert automatic(world) == ["InProgress"]
    record.unlink()
    world.settle(10)
    assert automatic(world) == ["Success"]


def automatic(world: World) -> list[str]:
    """The states of the disk's automatic snapshots."""
    found = world.call("GetAutoSnapshots", resourceName="data")["autoSnapshots"]
    return [one["status"] for one in found]
