"""System disks: sizes and names of those from snapshots, and room for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.host.mount_points import MountPoints
from mooring.host.rooms import DISKS, Rooms, of_zone
from mooring.model.errors import InvalidInputException, OperationFailureException
from tests.service.blueprints import SYSTEM, add_blueprint, held, own, system_disk
from tests.service.world import ZONE, World


@pytest.fixture
def ready(world: World) -> World:
    add_blueprint(world)
    return world


def restored(world: World, name: str, bundle: str, **more: Any) -> Mapping[str, Any]:
    """The system disk of a new instance, made of the instance snapshot `all`."""
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[name],
        availabilityZone=ZONE,
        bundleId=bundle,
        instanceSnapshotName="all",
        **more,
    )
    world.settle()
    return system_disk(world, name)


def test_the_bundle_says_how_large_a_restored_one_is(ready: World) -> None:
    known = {"availabilityZone": ZONE, "blueprintId": "debian-13"}
    ready.call("CreateInstances", instanceNames=["web"], bundleId="micro_3_0", **known)
    ready.settle()
    assert system_disk(ready)["sizeInGb"] == 40
    ready.instance_snapshot("all")
    ready.settle()
    larger = restored(ready, "larger", "small_3_0")
    assert larger["sizeInGb"] == 60
    assert held(ready, "larger-system") == SYSTEM
    assert restored(ready, "own", "external")["sizeInGb"] == 40
    with pytest.raises(InvalidInputException, match=r"has 20 GB, but .* snapshot all has 40"):
        restored(ready, "smaller", "nano_3_0")
    # What has grown is restored as it was.
    own(ready, "grow", diskName="web-system", sizeInGb=50)
    ready.settle()
    ready.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    ready.instance_snapshot("all")
    ready.settle()
    assert restored(ready, "same", "micro_3_0")["sizeInGb"] == 50


def test_a_restored_one_has_the_name_that_it_is_given(ready: World) -> None:
    ready.instance(blueprint="debian-13")
    ready.settle()
    ready.instance_snapshot("all")
    ready.settle()
    name = "x" * 255
    with pytest.raises(InvalidInputException, match="too long for an instance with a system disk"):
        restored(ready, name, "external")
    mapping = {name: [{"originalDiskPath": "/dev/xvda", "newDiskName": "root"}]}
    assert restored(ready, name, "external", attachedDiskMapping=mapping)["name"] == "root"


@pytest.mark.parametrize("use", [DISKS, of_zone(ZONE)])
def test_none_is_made_where_disks_are_away(tmp_path: Path, use: str) -> None:
    record, place = tmp_path / "noted", tmp_path / "place"
    mounts = MountPoints(record, tmp_path / "fstab")
    world = World(rooms=Rooms({use: place}, 0, mounts=mounts, mounted=[use]))
    add_blueprint(world)
    record.write_text(f"{place}\n")
    with pytest.raises(OperationFailureException, match="not possible right now"):
        world.instance(blueprint="debian-13")
    record.unlink()
    world.instance(blueprint="debian-13")
