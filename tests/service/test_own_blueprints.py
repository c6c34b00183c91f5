"""Blueprints of one's own, and instances with system disks made of them."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.service.blueprints import SYSTEM, add_blueprint, held, own, system_disk
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

MINE = {"key": "team", "value": "a"}
BOUND = Access("ann", Role.OPERATOR, {"team": "a"})


@pytest.fixture
def ready(world: World) -> World:
    add_blueprint(world)
    return world


@pytest.fixture
def booted(ready: World) -> World:
    """With an instance `web` of the blueprint."""
    ready.instance(blueprint="debian-13")
    ready.settle()
    return ready


def listed(world: World, **more: Any) -> list[str]:
    found = world.call("GetBlueprints", **more)["blueprints"]
    return [one["blueprintId"] for one in found]


def test_it_is_listed_before_lightsails(ready: World) -> None:
    shown = ready.call("GetBlueprints")["blueprints"][0]
    assert shown["blueprintId"] == "debian-13"
    assert (shown["platform"], shown["isActive"]) == ("LINUX_UNIX", True)
    assert listed(ready)[1] == "external"
    assert "debian-13" not in listed(ready, region="us-west-2")


def test_it_is_inactive_until_it_is_stored(world: World) -> None:
    world.disk("golden")
    world.snapshot("golden-1", "golden")
    with pytest.raises(OperationFailureException, match="state of this snapshot is: pending"):
        own(world, "blueprint", blueprintId="deb", diskSnapshotName="golden-1")
    world.settle()
    own(world, "blueprint", blueprintId="win", diskSnapshotName="golden-1", platform="windows")
    assert "win" not in listed(world)
    (shown,) = [
        one
        for one in world.call("GetBlueprints", includeInactive=True)["blueprints"]
        if one["blueprintId"] == "win"
    ]
    assert shown["platform"] == "WINDOWS"
    with pytest.raises(OperationFailureException, match="state of its snapshot is: pending"):
        world.instance(blueprint="win")
    world.settle()
    world.instance(blueprint="win")


def test_its_instances_have_a_system_disk_at_once(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object) -> None:
        raise EngineError("the vault does not answer")

    monkeypatch.setattr(ready.engine, "fill", stuck)
    ready.instance("web", blueprint="debian-13", tags=[MINE])
    instance = ready.call("GetInstance", instanceName="web")["instance"]
    assert instance["state"]["name"] == "running"
    assert (instance["blueprintId"], instance["blueprintName"]) == ("debian-13", "debian-13")
    assert "username" not in instance or instance["username"] is None
    disk = system_disk(ready)
    assert (disk["name"], disk["path"], disk["sizeInGb"]) == ("web-system", "/dev/xvda", 9)
    assert (disk["state"], disk["attachmentState"]) == ("in-use", "attached")
    assert (disk["attachedTo"], disk["tags"]) == ("web", [MINE])
    assert held(ready, "web-system") == SYSTEM
    uri = own(ready, "uri", diskName="web-system")
    assert uri["uri"]
    assert own(ready, "uri", instanceName="web") == uri
    with pytest.raises(InvalidInputException, match="either diskName or instanceName"):
        own(ready, "uri", diskName="web-system", instanceName="web")


def test_the_bundle_says_how_large_it_is(ready: World) -> None:
    known = {"availabilityZone": ZONE, "blueprintId": "debian-13"}
    ready.call("CreateInstances", instanceNames=["n1"], bundleId="nano_3_0", **known)
    ready.settle()
    assert system_disk(ready, "n1")["sizeInGb"] == 20
    ready.disk("huge", size=30)
    ready.snapshot("huge-1", "huge")
    ready.settle()
    own(ready, "blueprint", blueprintId="huge-2", diskSnapshotName="huge-1")
    ready.settle()
    known["blueprintId"] = "huge-2"
    with pytest.raises(InvalidInputException, match=r"has 20 GB, but .* needs 30 GB"):
        ready.call("CreateInstances", instanceNames=["n2"], bundleId="nano_3_0", **known)


def test_each_has_its_own(ready: World) -> None:
    ready.call(
        "CreateInstances",
        instanceNames=["one", "two"],
        availabilityZone=ZONE,
        blueprintId="debian-13",
        bundleId="external",
    )
    ready.settle()
    changed = content(5)
    ready.engine.write(ready.disk_id("one-system"), 0, changed)
    assert held(ready, "one-system") == changed
    assert held(ready, "two-system") == SYSTEM


def test_names_must_be_free(ready: World) -> None:
    ready.disk("web-system")
    with pytest.raises(InvalidInputException, match="already in use: web-system"):
        ready.instance(blueprint="debian-13")
    with pytest.raises(InvalidInputException, match="must differ: a1-system"):
        ready.call(
            "CreateInstances",
            instanceNames=["a1", "a1-system"],
            availabilityZone=ZONE,
            blueprintId="debian-13",
            bundleId="external",
        )
    with pytest.raises(InvalidInputException, match="too long for an instance"):
        ready.instance("a" * 250, blueprint="debian-13")


def test_an_instance_that_cannot_be_made_leaves_nothing(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise EngineError("no")

    monkeypatch.setattr(ready.engine, "begin_clone", broken)
    ready.instance(blueprint="debian-13")
    ready.settle()
    with pytest.raises(NotFoundException):
        ready.call("GetInstance", instanceName="web")
    assert ready.call("GetDisks")["disks"] == []
    assert ready.operations("web")[0]["status"] == "Failed"


def test_it_stays_where_it_is(booted: World) -> None:
    with pytest.raises(OperationFailureException, match=r"is the system disk .* be detached"):
        booted.call("DetachDisk", diskName="web-system")
    with pytest.raises(OperationFailureException, match="delete-instance deletes both"):
        booted.call("DeleteDisk", diskName="web-system")
    for verb in ("StopInstance", "StartInstance", "RebootInstance"):
        booted.call(verb, instanceName="web")
        booted.settle()
    assert held(booted, "web-system") == SYSTEM
    recover(booted.backend)
    assert held(booted, "web-system") == SYSTEM


def test_fifteen_other_disks_can_be_attached(booted: World) -> None:
    for number in range(16):
        booted.disk(f"d{number}")
    for number in range(15):
        booted.attach(f"d{number}", path=f"/dev/xvd{chr(ord('b') + number)}")
    with pytest.raises(InvalidInputException, match="15 disks attached"):
        booted.attach("d15", path="/dev/xvdz")


def test_it_goes_with_the_instance(booted: World) -> None:
    booted.disk("data")
    booted.attach()
    disk_id = booted.disk_id("web-system")
    booted.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="last")
    result = booted.call("DeleteInstance", instanceName="web")
    told = [(one["operationType"], one["resourceName"]) for one in result["operations"]]
    assert ("DeleteDisk", "web-system") in told
    assert ("DetachDisk", "data") in told
    assert [one["name"] for one in booted.call("GetDisks")["disks"]] == ["data"]
    booted.settle()
    # What was pending was stored first.
    assert booted.state("last")["state"] == "completed"
    with pytest.raises(EngineError):
        booted.engine.points(disk_id)
    booted.instance("web", blueprint="debian-13")
    assert held(booted, "web-system") == SYSTEM


def test_a_tagged_system_disk_is_kept(world: World) -> None:
    world.instance(tags=[{"key": "mooring:system-disk", "value": "root"}])
    world.disk("root")
    world.attach("root", path="/dev/xvda")
    world.call("DeleteInstance", instanceName="web")
    world.settle()
    assert world.call("GetDisk", diskName="root")["disk"]["state"] == "available"


def test_a_rhythm_of_the_system_disk_is_ended_only_if_asked(booted: World) -> None:
    tags = [{"key": "mooring:snapshots", "value": "hourly keep 1 day"}]
    booted.call("TagResource", resourceName="web-system", tags=tags)
    with pytest.raises(InvalidInputException, match="Disk web-system with the tag"):
        booted.call("DeleteInstance", instanceName="web")
    booted.call("DeleteInstance", instanceName="web", forceDeleteAddOns=True)


def test_a_snapshot_by_the_instances_name(booted: World) -> None:
    changed = content(7)
    booted.engine.write(booted.disk_id("web-system"), 0, changed)
    booted.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="first")
    booted.settle()
    assert booted.state("first")["fromInstanceName"] == "web"
    with booted.catalog.read() as transaction:
        blueprint = transaction.snapshots.by_name(REGION, "debian-13")
        first = transaction.snapshots.by_name(REGION, "first")
    assert blueprint is not None
    assert first is not None
    assert first.parent_id == blueprint.id
    # The way of a rescue, and to a blueprint of what is there now.
    booted.call(
        "CreateDiskFromSnapshot",
        diskSnapshotName="first",
        diskName="rescue",
        sizeInGb=9,
        availabilityZone=ZONE,
    )
    own(booted, "blueprint", blueprintId="web-golden", diskSnapshotName="first")
    booted.settle()
    booted.instance("medic")
    booted.attach("rescue", "medic")
    booted.instance("web2", blueprint="web-golden")
    assert held(booted, "rescue") == changed
    assert held(booted, "web2-system") == changed
    shown = booted.call("GetDisk", diskName="rescue")["disk"]
    assert shown["isSystemDisk"] is False


def test_the_tag_comes_first(booted: World) -> None:
    booted.disk("other")
    booted.attach("other")
    tags = [{"key": "mooring:system-disk", "value": "other"}]
    booted.call("TagResource", resourceName="web", tags=tags)
    booted.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="first")
    booted.settle()
    with booted.catalog.read() as transaction:
        first = transaction.snapshots.by_name(REGION, "first")
    assert first is not None
    assert first.disk_name == "other"
    assert system_disk(booted)["name"] == "other"
    booted.call("UntagResource", resourceName="web", tagKeys=["mooring:system-disk"])
    assert system_disk(booted)["name"] == "web-system"


def test_snapshots_of_the_instance_hold_it(booted: World) -> None:
    booted.disk("data")
    booted.attach()
    changed = content(7)
    booted.engine.write(booted.disk_id("web-system"), 0, changed)
    booted.instance_snapshot("all")
    booted.settle()
    shown = booted.instance_state("all")
    assert [one["name"] for one in shown["fromAttachedDisks"]] == ["data"]
    assert shown["sizeInGb"] == 17
    assert shown["fromBlueprintId"] == "debian-13"
    own(booted, "delete-blueprint", blueprintId="debian-13")
    booted.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["web2"],
        availabilityZone=ZONE,
        bundleId="external",
        instanceSnapshotName="all",
    )
    booted.settle()
    disk = system_disk(booted, "web2")
    assert (disk["name"], disk["path"]) == ("web2-system", "/dev/xvda")
    assert held(booted, "web2-system") == changed
    booted.call("CreateDiskSnapshot", instanceName="web2", diskSnapshotName="first")
    booted.call("DeleteInstance", instanceName="web2")
    booted.settle()
    assert "web2-system" not in [one["name"] for one in booted.call("GetDisks")["disks"]]
    assert booted.call("GetDisk", diskName="web2-data")["disk"]["state"] == "available"


def test_a_copy_of_an_instance_snapshot_restores_it_in_another_region(booted: World) -> None:
    booted.instance_snapshot("all")
    booted.settle()
    booted.call(
        "CopySnapshot",
        sourceSnapshotName="all",
        targetSnapshotName="all",
        sourceRegion=REGION,
        region="us-west-2",
    )
    booted.settle()
    booted.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["web2"],
        availabilityZone="us-west-2a",
        bundleId="external",
        instanceSnapshotName="all",
        region="us-west-2",
    )
    booted.settle()
    found = booted.call("GetInstance", instanceName="web2", region="us-west-2")["instance"]
    (disk,) = found["hardware"]["disks"]
    assert (disk["name"], disk["isSystemDisk"]) == ("web2-system", True)


def test_automatic_snapshots_of_the_instance_hold_it(booted: World) -> None:
    booted.call("EnableAddOn", resourceName="web", addOnRequest={"addOnType": "AutoSnapshot"})
    booted.clock.advance(3 * 86400)
    assert take_due(booted.backend) == 1
    booted.settle()
    taken = booted.call("GetAutoSnapshots", resourceName="web")["autoSnapshots"]
    assert "Success" in [one["status"] for one in taken]
    booted.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["web2"],
        availabilityZone=ZONE,
        bundleId="external",
        sourceInstanceName="web",
        useLatestRestorableAutoSnapshot=True,
    )
    booted.settle()
    assert held(booted, system_disk(booted, "web2")["name"]) == SYSTEM


def test_an_export_says_which_disk_it_is(booted: World) -> None:
    booted.instance_snapshot("all")
    booted.settle()
    booted.call("ExportSnapshot", sourceSnapshotName="all")
    (record,) = booted.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    (disk,) = record["sourceInfo"]["instanceSnapshotInfo"]["fromDiskInfo"]
    assert (disk["isSystemDisk"], disk["path"]) == (True, "/dev/xvda")


def test_it_is_deleted_when_nobody_needs_it(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OperationFailureException, match="delete-blueprint"):
        ready.call("DeleteDiskSnapshot", diskSnapshotName="debian-13")
    real = ready.engine.fill

    def stuck(*_: object) -> None:
        raise EngineError("the vault does not answer")

    monkeypatch.setattr(ready.engine, "fill", stuck)
    ready.instance(blueprint="debian-13")
    with pytest.raises(OperationFailureException, match="disks are being filled from it"):
        own(ready, "delete-blueprint", blueprintId="debian-13")
    monkeypatch.setattr(ready.engine, "fill", real)
    ready.settle()
    own(ready, "delete-blueprint", blueprintId="debian-13")
    ready.settle()
    assert "debian-13" not in listed(ready)
    assert not list(ready.vault.snapshot_ids())
    assert held(ready, "web-system") == SYSTEM
    with pytest.raises(InvalidInputException, match="debian-13 does not"):
        ready.instance("web2", blueprint="debian-13")


def test_only_blueprints_are_deleted_as_such(ready: World) -> None:
    for name in ("nope", "external"):
        with pytest.raises(NotFoundException, match=f"no blueprint {name} of your own"):
            own(ready, "delete-blueprint", blueprintId=name)
    ready.disk("data")
    ready.snapshot("first")
    ready.settle()
    with pytest.raises(NotFoundException, match="delete-disk-snapshot deletes it"):
        own(ready, "delete-blueprint", blueprintId="first")
    with pytest.raises(InvalidInputException, match="first does not exist"):
        ready.instance(blueprint="first")


def test_a_copy_in_another_region_is_a_blueprint(ready: World) -> None:
    asked = {"sourceSnapshotName": "debian-13", "sourceRegion": REGION, "region": "us-west-2"}
    with pytest.raises(InvalidInputException, match="blueprint of Lightsail's"):
        ready.call("CopySnapshot", targetSnapshotName="debian_13", **asked)
    ready.call("CopySnapshot", targetSnapshotName="debian-13", **asked)
    ready.settle()
    assert listed(ready, region="us-west-2")[0] == "debian-13"
    ready.instance("west", "us-west-2a", blueprint="debian-13", region="us-west-2")
    ready.settle()
    found = ready.call("GetInstance", instanceName="west", region="us-west-2")["instance"]
    assert found["hardware"]["disks"][0]["name"] == "west-system"


@pytest.mark.parametrize("taken", ["debian_13", "external", "host", "wordpress"])
def test_ids_of_the_real_service_are_its_own(world: World, taken: str) -> None:
    world.disk("golden")
    world.snapshot("golden-1", "golden")
    world.settle()
    with pytest.raises(InvalidInputException, match="Choose another id"):
        own(world, "blueprint", blueprintId=taken, diskSnapshotName="golden-1")


def test_there_are_two_platforms(ready: World) -> None:
    ready.disk("data")
    ready.snapshot("first")
    ready.settle()
    with pytest.raises(InvalidInputException, match="linux or windows"):
        own(ready, "blueprint", blueprintId="x1", diskSnapshotName="first", platform="beos")


def test_of_an_automatic_snapshot_or_a_part(booted: World) -> None:
    booted.instance_snapshot("all")
    booted.settle()
    own(booted, "blueprint", blueprintId="part", diskSnapshotName="all/web-system")
    booted.settle()
    booted.instance("web2", blueprint="part")
    assert held(booted, "web2-system") == SYSTEM


def test_ones_own_are_nobody_elses(world: World) -> None:
    add_blueprint(world)
    add_blueprint(world, "ours", tags=[MINE])
    assert "debian-13" not in listed(world, access=BOUND)
    assert "ours" in listed(world, access=BOUND)
    with pytest.raises(InvalidInputException, match="debian-13 does not"):
        world.instance(blueprint="debian-13", access=BOUND, tags=[MINE])
    world.instance(blueprint="ours", access=BOUND, tags=[MINE])
    world.settle()
    world.call(
        "CreateDiskSnapshot",
        instanceName="web",
        diskSnapshotName="first",
        tags=[MINE],
        access=BOUND,
    )
    for name in ("delete-blueprint", "blueprint"):
        with pytest.raises(AccessDeniedException):
            own(
                world,
                name,
                access=BOUND,
                blueprintId="debian-13",
                diskSnapshotName="debian-13",
                tags=[MINE],
            )
    world.call("DeleteInstance", instanceName="web", access=BOUND)


def test_it_is_there_again_when_a_server_starts(ready: World) -> None:
    ready.instance(blueprint="debian-13")
    recover(ready.backend)
    ready.settle()
    assert held(ready, "web-system") == SYSTEM


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


class Killer:
    """Kills once, at one moment of one kind of job."""

    at: tuple[JobKind, str] | None = None

    def __call__(self, job: Job, _step: str, moment: str) -> None:
        if (job.kind, moment) == self.at:
            self.at = None
            raise Killed


@pytest.mark.parametrize("moment", ["begin", "done", "recorded"])
@pytest.mark.parametrize("kind", [JobKind.DELETE_INSTANCE, JobKind.DELETE_DISK])
def test_killed_at_any_moment_it_goes_with_the_instance(kind: JobKind, moment: str) -> None:
    killer = Killer()
    world = World(killer)
    add_blueprint(world)
    world.instance(blueprint="debian-13")
    world.settle()
    disk_id = world.disk_id("web-system")
    world.call("CreateDiskSnapshot", instanceName="web", diskSnapshotName="last")
    world.call("DeleteInstance", instanceName="web")
    killer.at = kind, moment
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    assert world.state("last")["state"] == "completed"
    with pytest.raises(EngineError):
        world.engine.points(disk_id)
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    world.close()


def test_a_fork_of_the_instance_has_one_of_its_own(booted: World) -> None:
    changed = content(6)
    booted.engine.write(booted.disk_id("web-system"), 0, changed)
    own(booted, "fork-instance", instanceName="web", newInstanceName="web2", tags=[MINE])
    disk = system_disk(booted, "web2")
    assert (disk["name"], disk["path"], disk["tags"]) == ("web2-system", "/dev/xvda", [MINE])
    assert held(booted, "web2-system") == changed
    # Before it stands by itself.
    booted.call("DeleteInstance", instanceName="web2")
    booted.settle()
    assert [one["name"] for one in booted.call("GetDisks")["disks"]] == ["web-system"]
    with booted.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    assert held(booted, "web-system") == changed
