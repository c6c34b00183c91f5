"""Instances made from instance snapshots, with their disks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.jobs.recover import recover
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.service.test_instance_snapshots import PATHS, contents, used, write
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

__all__ = ["used"]


@pytest.fixture
def saved(used: World) -> World:
    """With an instance snapshot `all` of two disks."""
    used.instance_snapshot("all")
    used.settle()
    return used


def restore(world: World, *names: str, **more: Any) -> Mapping[str, Any]:
    known = {
        "instanceNames": list(names),
        "availabilityZone": ZONE,
        "bundleId": "external",
        "instanceSnapshotName": "all",
    }
    return world.call("CreateInstancesFromSnapshot", **known | more)


def disks(world: World, instance: str) -> dict[str, Mapping[str, Any]]:
    """The disks of an instance, by their paths."""
    found = world.call("GetInstance", instanceName=instance)["instance"]["hardware"]["disks"]
    return {one["path"]: one for one in found}


def read(world: World, disk: str) -> bytes:
    return world.engine.read(world.disk_id(disk), 0, 64 * BLOCK_SIZE)


def test_each_has_disks_of_its_own_with_what_was_there(saved: World) -> None:
    wanted = contents(saved)
    write(saved, "data", 3, content(9))

    result = restore(saved, "one", "two", tags=[{"key": "k", "value": "v"}])

    assert [
        (one["resourceType"], one["resourceName"], one["operationType"], one["status"])
        for one in result["operations"]
    ] == [
        ("Instance", "one", "CreateInstancesFromSnapshot", "Started"),
        ("Instance", "two", "CreateInstancesFromSnapshot", "Started"),
    ]
    pending = saved.call("GetInstance", instanceName="one")["instance"]
    assert pending["state"]["name"] == "pending"
    assert {one["state"] for one in pending["hardware"]["disks"]} == {"pending"}
    saved.settle()
    for name in ("one", "two"):
        instance = saved.call("GetInstance", instanceName=name)["instance"]
        assert instance["state"]["name"] == "running"
        assert instance["blueprintId"] == "external"
        assert instance["tags"] == [{"key": "k", "value": "v"}]
        found = disks(saved, name)
        assert {path: one["name"] for path, one in found.items()} == {
            path: f"{name}-{disk}" for disk, path in PATHS.items()
        }
        assert {one["state"] for one in found.values()} == {"in-use"}
        assert {one["attachmentState"] for one in found.values()} == {"attached"}
        assert {disk: read(saved, f"{name}-{disk}") for disk in PATHS} == wanted
        assert saved.operations(name)[0]["status"] == "Succeeded"
    write(saved, "one-data", 0, content(5))
    assert read(saved, "two-data") == wanted["data"]


def test_disks_are_usable_before_they_are_filled(
    saved: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = contents(saved)

    def stuck(*_: object) -> None:
        raise EngineError("the vault does not answer")

    monkeypatch.setattr(saved.engine, "fill", stuck)
    restore(saved, "one")
    saved.runner.drain()

    assert {disk: read(saved, f"one-{disk}") for disk in PATHS} == wanted
    assert saved.call("GetInstanceState", instanceName="one")["state"]["name"] == "running"
    # Meanwhile the snapshot may be deleted: it stays in the vault until the disks are filled.
    saved.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    saved.runner.drain()
    assert len(list(saved.vault.snapshot_ids())) == 2
    monkeypatch.undo()
    saved.settle()
    assert {disk: read(saved, f"one-{disk}") for disk in PATHS} == wanted
    assert list(saved.vault.snapshot_ids()) == []


def test_their_first_snapshots_are_incremental(saved: World) -> None:
    restore(saved, "one")
    saved.settle()
    write(saved, "one-logs", 2, content(3))
    saved.instance_snapshot("again", instance="one")
    saved.settle()

    with saved.catalog.read() as transaction:
        found = transaction.instance_snapshots.by_name(REGION, "again")
    assert found is not None
    assert {one.disk_name: one.changed_bytes for one in found.parts} == {
        "one-data": 0,
        "one-logs": BLOCK_SIZE,
    }


def test_names_by_mapping(saved: World) -> None:
    mapping = {"one": [{"originalDiskPath": PATHS["logs"], "newDiskName": "journal"}]}

    restore(saved, "one", attachedDiskMapping=mapping)
    saved.settle()

    assert {path: one["name"] for path, one in disks(saved, "one").items()} == {
        PATHS["data"]: "one-data",
        PATHS["logs"]: "journal",
    }


def test_without_disks(world: World) -> None:
    world.instance()
    world.instance_snapshot("all")

    restore(world, "one", ipAddressType="ipv4", keyPairName="mine")
    world.settle()

    found = world.call("GetInstance", instanceName="one")["instance"]
    assert found["state"]["name"] == "running"
    assert (found["ipAddressType"], found["sshKeyName"]) == ("ipv4", "mine")
    assert found["hardware"]["disks"] == []


def test_one_that_cannot_be_made_leaves_nothing(
    saved: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach = saved.engine.attach

    def refuse(instance_id: str, export: Any) -> None:
        if export.name == "one-logs":
            raise EngineError("there is no room for another daemon")
        attach(instance_id, export)

    monkeypatch.setattr(saved.engine, "attach", refuse)
    restore(saved, "one", "two")
    saved.settle()

    assert saved.operations("one")[0]["status"] == "Failed"
    assert saved.operations("one")[0]["errorDetails"] == "there is no room for another daemon"
    with pytest.raises(NotFoundException):
        saved.call("GetInstance", instanceName="one")
    assert saved.operations("two")[0]["status"] == "Succeeded"
    names = saved.call("GetActiveNames")["activeNames"]
    assert names == ["all", "data", "logs", "two", "two-data", "two-logs", "web"]
    monkeypatch.undo()
    restore(saved, "one")
    saved.settle()
    assert saved.operations("one")[0]["status"] == "Succeeded"


def test_what_cannot_be_asked_for(saved: World) -> None:
    with pytest.raises(NotFoundException, match="The InstanceSnapshot does not exist: nope"):
        restore(saved, "one", instanceSnapshotName="nope")
    with pytest.raises(InvalidInputException, match="instanceSnapshotName is required"):
        restore(saved, "one", instanceSnapshotName=None)
    with pytest.raises(InvalidInputException, match="instanceSnapshotName or sourceInstanceName"):
        restore(saved, "one", sourceInstanceName="web", useLatestRestorableAutoSnapshot=True)
    with pytest.raises(InvalidInputException, match="sourceInstanceName: omit them"):
        restore(saved, "one", useLatestRestorableAutoSnapshot=True)
    automatic = {"instanceSnapshotName": None, "useLatestRestorableAutoSnapshot": True}
    with pytest.raises(InvalidInputException, match="data is not an instance but a disk"):
        restore(saved, "one", sourceInstanceName="data", **automatic)
    with pytest.raises(NotFoundException, match="automatic snapshot does not exist: web"):
        restore(saved, "one", sourceInstanceName="web", **automatic)
    with pytest.raises(InvalidInputException, match="already in use: web"):
        restore(saved, "web")
    with pytest.raises(InvalidInputException, match="The bundle huge does not exist"):
        restore(saved, "one", bundleId="huge")
    with pytest.raises(InvalidInputException, match="does not serve the add-on StopInstanceOnIdle"):
        restore(saved, "one", addOns=[{"addOnType": "StopInstanceOnIdle"}])
    with pytest.raises(InvalidInputException, match="availability zone nowhere is not in"):
        restore(saved, "one", availabilityZone="nowhere")
    saved.instance_snapshot("young")
    with pytest.raises(OperationFailureException, match="The state of this snapshot is: pending"):
        restore(saved, "one", instanceSnapshotName="young")
    assert "one" not in saved.call("GetActiveNames")["activeNames"]


@pytest.mark.parametrize(
    ("names", "mapping", "problem"),
    [
        (["one"], {"two": []}, "two, which is not among the instanceNames: one"),
        (
            ["one"],
            {"one": [{"originalDiskPath": "/dev/xvdz", "newDiskName": "new"}]},
            "no disk at /dev/xvdz. Its disks are at: /dev/xvdf, /dev/xvdg",
        ),
        (
            ["one", "two"],
            {
                name: [{"originalDiskPath": "/dev/xvdf", "newDiskName": "new"}]
                for name in ("one", "two")
            },
            "must differ: new",
        ),
        (
            ["one"],
            {"one": [{"originalDiskPath": "/dev/xvdf", "newDiskName": "data"}]},
            "already in use: data",
        ),
        (
            ["one"],
            {"one": [{"originalDiskPath": "/dev/xvdf", "newDiskName": "-"}]},
            "- is not a valid resource name",
        ),
        (["x" * 252], {}, "give one with attachedDiskMapping"),
    ],
)
def test_mappings_that_are_wrong(
    saved: World, names: list[str], mapping: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidInputException, match=problem):
        restore(saved, *names, attachedDiskMapping=mapping)


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


class Killer:
    """Kills once, at one moment of the making of an instance."""

    at = ""

    def __call__(self, job: Job, _step: str, moment: str) -> None:
        if job.kind is JobKind.RESTORE_INSTANCE and moment == self.at:
            self.at = ""
            raise Killed


@pytest.mark.parametrize("moment", ["begin", "done", "recorded"])
def test_killed_at_any_moment_it_is_made(moment: str) -> None:
    killer = Killer()
    world = World(killer)
    world.instance()
    data = content(4)
    for name, path in PATHS.items():
        world.disk(name)
        world.attach(name, path=path)
        world.engine.write(world.disk_id(name), 0, data)
    world.instance_snapshot("all")
    world.settle()
    killer.at = moment
    restore(world, "one")
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    assert world.operations("one")[0]["status"] == "Succeeded"
    for name in PATHS:
        assert world.engine.read(world.disk_id(f"one-{name}"), 0, BLOCK_SIZE) == data
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    world.close()
