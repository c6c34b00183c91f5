"""Copies of instance snapshots: all parts, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.model.errors import OperationFailureException
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot
from tests.service.test_copies import FAR, copy
from tests.service.test_instance_snapshots import PATHS, contents, used, write
from tests.service.test_snapshots import content
from tests.service.world import REGION, World

__all__ = ["used"]


def shown(world: World, name: str, region: str = FAR) -> Mapping[str, Any]:
    answer = world.call("GetInstanceSnapshot", region=region, instanceSnapshotName=name)
    return dict(answer["instanceSnapshot"])


def parts(world: World, name: str, region: str = FAR) -> dict[str, DiskSnapshot]:
    with world.catalog.read() as transaction:
        found = transaction.instance_snapshots.by_name(region, name)
    assert found is not None
    return {one.disk_name: one for one in found.parts}


def held(world: World, name: str) -> dict[str, bytes]:
    vault = world.backend.vaults[FAR]
    found = {}
    for disk, part in parts(world, name).items():
        with vault.open(part.id) as reader:
            found[disk] = bytes(reader.read(0, 64 * BLOCK_SIZE))
    return found


def test_all_parts_are_copied(used: World) -> None:
    used.instance_snapshot("all")
    with pytest.raises(OperationFailureException, match="The state of this snapshot is: pending"):
        copy(used, "all", "far")
    used.settle()
    wanted = contents(used)

    (operation,) = copy(used, "all", "far")["operations"]

    assert (operation["resourceType"], operation["status"]) == ("InstanceSnapshot", "Started")
    assert operation["operationDetails"] == f"{REGION}:all"
    assert operation["location"] == {"availabilityZone": "all", "regionName": FAR}
    assert shown(used, "far")["state"] == "pending"
    used.settle()
    near, far = shown(used, "all", REGION), shown(used, "far")
    assert far["state"] == "available"
    for member in ("fromInstanceName", "sizeInGb", "fromBlueprintId", "tags"):
        assert far[member] == near[member]
    assert [one["path"] for one in far["fromAttachedDisks"]] == list(PATHS.values())
    assert held(used, "far") == wanted
    ended = used.call("GetOperation", region=FAR, operationId=operation["id"])["operation"]
    assert ended["status"] == "Succeeded"
    # The parts have no names that anybody could use.
    assert used.call("GetActiveNames", region=FAR)["activeNames"] == ["far"]
    assert used.call("GetDiskSnapshots", region=FAR)["diskSnapshots"] == []


def test_a_next_copy_takes_only_what_changed(used: World) -> None:
    used.instance_snapshot("s1")
    used.settle()
    copy(used, "s1", "f1")
    used.settle()
    write(used, "data", 3, content(2))
    used.instance_snapshot("s2")
    used.settle()
    wanted = contents(used)

    copy(used, "s2", "f2")
    used.settle()

    before, after = parts(used, "f1"), parts(used, "f2")
    assert {name: part.parent_id for name, part in after.items()} == {
        name: part.id for name, part in before.items()
    }
    assert (after["data"].changed_bytes, after["logs"].changed_bytes) == (BLOCK_SIZE, 0)
    assert held(used, "f2") == wanted


def test_an_instance_is_made_from_a_copy(used: World) -> None:
    used.instance_snapshot("all")
    used.settle()
    wanted = contents(used)
    copy(used, "all", "far")
    used.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    used.settle()

    used.call(
        "CreateInstancesFromSnapshot",
        region=FAR,
        instanceNames=["web"],
        instanceSnapshotName="far",
        availabilityZone="us-west-2a",
        bundleId="external",
    )
    used.settle()

    assert list(used.vault.snapshot_ids()) == []
    engine = used.engines["us-west-2a"]
    with used.catalog.read() as transaction:
        for name, data in wanted.items():
            disk = transaction.disks.by_name(FAR, f"web-{name}")
            assert disk is not None
            assert engine.read(disk.id, 0, len(data)) == data


def test_a_pending_copy_that_is_deleted_leaves_nothing(used: World) -> None:
    used.instance_snapshot("all")
    used.settle()
    copy(used, "all", "far")

    used.call("DeleteInstanceSnapshot", region=FAR, instanceSnapshotName="far")
    used.settle()

    assert list(used.backend.vaults[FAR].snapshot_ids()) == []
    with used.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    operations = used.call("GetOperations", region=FAR)["operations"]
    assert [one["status"] for one in operations] == ["Succeeded", "Failed"]


def test_of_an_instance_without_disks_there_is_nothing_to_copy(world: World) -> None:
    world.instance()
    world.instance_snapshot("none")

    (operation,) = copy(world, "none", "far")["operations"]

    assert (operation["status"], operation["isTerminal"]) == ("Succeeded", True)
    assert shown(world, "far")["state"] == "available"
