"""Operations on disks and snapshots, and general ones, through boto3: entries, states, answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mooring.protocol import service_model
from mooring.service.answers.nothing_kept import LISTS, NOTHING
from tests.clients.boto import Boto
from tests.clients.entries import UUID, entries
from tests.clients.site import OTHER_ZONE, REGION, ZONE, Site

pytestmark = pytest.mark.full

AT_REST = [{"key": "mooring:consistency", "value": "at-rest"}]
"""The tag of a snapshot whose disk nobody used."""


def test_create_disk(site: Site) -> None:
    name = site.fresh("disk")
    tags = [{"key": "env", "value": "test"}, {"key": "alone"}]

    result = site.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=9, tags=tags)

    assert entries(result) == [("Disk", name, ZONE, None, "CreateDisk", "Started")]
    (ended,) = site.ended(result)
    assert (ended["status"], ended["id"]) == ("Succeeded", result["operations"][0]["id"])
    disk = site.disk_is(name, state="available")
    assert re.fullmatch(rf"arn:aws:lightsail:{REGION}:\d{{12}}:Disk/{UUID.pattern}", disk["arn"])
    assert re.fullmatch(r"\d{12}/vol-0[0-9a-f]{16}", disk["supportCode"])
    assert disk["location"] == {"availabilityZone": ZONE, "regionName": REGION}
    assert (disk["sizeInGb"], disk["iops"], disk["isSystemDisk"]) == (9, 100, False)
    assert (disk["isAttached"], disk["attachmentState"]) == (False, "detached")
    assert sorted(disk["tags"], key=lambda tag: str(tag["key"])) == [
        {"key": "alone"},
        {"key": "env", "value": "test"},
    ]
    assert not disk.keys() & {"path", "attachedTo"}


def test_delete_disk(site: Site) -> None:
    name = site.disk()

    result = site.call("DeleteDisk", diskName=name, forceDeleteAddOns=True)

    assert entries(result) == [("Disk", name, ZONE, None, "DeleteDisk", "Succeeded")]


def test_attach_and_detach_disk(site: Site) -> None:
    disk, instance = site.disk(), site.instance()

    attach = site.call("AttachDisk", diskName=disk, instanceName=instance, diskPath="/dev/xvdf")

    assert entries(attach) == [
        ("Disk", disk, ZONE, instance, "AttachDisk", "Started"),
        ("Instance", instance, ZONE, disk, "AttachDisk", "Started"),
    ]
    assert [one["status"] for one in site.ended(attach)] == ["Succeeded", "Succeeded"]
    shown = site.disk_is(disk, state="in-use", isAttached=True)
    assert (shown["attachedTo"], shown["path"]) == (instance, "/dev/xvdf")
    assert shown["attachmentState"] == "attached"
    hardware = site.call("GetInstance", instanceName=instance)["instance"]["hardware"]
    assert [one["name"] for one in hardware["disks"]] == [disk]

    detach = site.call("DetachDisk", diskName=disk)

    assert entries(detach) == [
        ("Disk", disk, ZONE, instance, "DetachDisk", "Started"),
        ("Instance", instance, ZONE, disk, "DetachDisk", "Started"),
    ]
    assert [one["status"] for one in site.ended(detach)] == ["Succeeded", "Succeeded"]
    shown = site.disk_is(disk, state="available", isAttached=False)
    assert shown["attachmentState"] == "detached"
    assert not shown.keys() & {"path", "attachedTo"}


def test_create_disk_snapshot_in_its_older_form(site: Site) -> None:
    disk, name = site.disk(), site.fresh("snap")

    result = site.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=name)

    assert entries(result) == [
        ("DiskSnapshot", name, "all", disk, "CreateDiskSnapshot", "Started"),
        ("Disk", disk, ZONE, name, "CreateDiskSnapshot", "Started"),
    ]
    assert [one["status"] for one in site.ended(result)] == ["Succeeded", "Succeeded"]
    snapshot = site.snapshot_is(name, "completed")
    arn = rf"arn:aws:lightsail:{REGION}:\d{{12}}:DiskSnapshot/{UUID.pattern}"
    assert re.fullmatch(arn, snapshot["arn"])
    assert re.fullmatch(r"\d{12}/snap-0[0-9a-f]{16}", snapshot["supportCode"])
    assert snapshot["location"] == {"availabilityZone": "all", "regionName": REGION}
    assert (snapshot["progress"], snapshot["sizeInGb"]) == ("100%", 8)
    assert (snapshot["isFromAutoSnapshot"], snapshot["tags"]) == (False, AT_REST)
    source = site.call("GetDisk", diskName=disk)["disk"]
    assert (snapshot["fromDiskName"], snapshot["fromDiskArn"]) == (disk, source["arn"])


def test_create_disk_snapshot_in_its_newer_form(site: Site) -> None:
    disk, _ = site.attached()
    name, tags = site.fresh("snap"), [{"key": "why", "value": "upgrade"}]

    result = site.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=name, tags=tags)

    assert entries(result) == [
        ("DiskSnapshot", name, "all", disk, "CreateDiskSnapshot", "Started"),
        ("Disk", disk, ZONE, name, "CreateDiskSnapshot", "Started"),
    ]
    consistency = {"key": "mooring:consistency", "value": "crash"}
    assert site.snapshot_is(name, "completed")["tags"] == [consistency, *tags]
    site.disk_is(disk, state="in-use")


def test_delete_disk_snapshot(site: Site) -> None:
    name = site.snapshot()

    result = site.call("DeleteDiskSnapshot", diskSnapshotName=name)

    assert entries(result) == [
        ("DiskSnapshot", name, "all", None, "DeleteDiskSnapshot", "Succeeded")
    ]


def test_copy_snapshot(boto: Boto, site: Site) -> None:
    disk = site.disk()
    snapshot, name = site.snapshot(disk), site.fresh("copy")
    asked = {
        "sourceRegion": REGION,
        "sourceSnapshotName": snapshot,
        "targetSnapshotName": name,
    }
    far = {"region": "us-west-2"}

    (operation,) = boto.reply("CopySnapshot", asked, client=far).get()["operations"]
    near = site.call("CopySnapshot", **asked)

    assert operation["operationDetails"] == f"{REGION}:{snapshot}"
    assert operation["location"] == {"availabilityZone": "all", "regionName": "us-west-2"}
    assert entries(near) == [
        ("DiskSnapshot", name, "all", f"{REGION}:{snapshot}", "CopySnapshot", "Started")
    ]
    assert [one["status"] for one in site.ended(near)] == ["Succeeded"]
    source = site.call("GetDisk", diskName=disk)["disk"]
    for found in (
        site.snapshot_is(name, "completed"),
        site.snapshot_is(name, "completed", **far),
    ):
        assert (found["fromDiskName"], found["fromDiskArn"]) == (disk, source["arn"])
        assert (found["progress"], found["isFromAutoSnapshot"]) == ("100%", False)


def test_automatic_snapshots(site: Site) -> None:
    disk, name = site.disk(), site.fresh("copy")
    daily = {"autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "06:00"}}

    enable = site.call(
        "EnableAddOn", resourceName=disk, addOnRequest={"addOnType": "AutoSnapshot", **daily}
    )

    details = "EnableAddOn - AutoSnapshot"
    assert entries(enable) == [("Disk", disk, ZONE, details, "EnableAddOn", "Succeeded")]
    (add_on,) = site.call("GetDisk", diskName=disk)["disk"]["addOns"]
    assert (add_on["name"], add_on["status"]) == ("AutoSnapshot", "Enabled")
    assert add_on["snapshotTimeOfDay"] == add_on["nextSnapshotTimeOfDay"] == "06:00"
    taken = site.take_automatic(disk)
    answer = site.call("GetAutoSnapshots", resourceName=disk)
    assert (answer["resourceName"], answer["resourceType"]) == (disk, "Disk")
    assert answer["autoSnapshots"] == [taken]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", taken["date"])
    site.call(
        "CopySnapshot",
        sourceRegion=REGION,
        sourceResourceName=disk,
        restoreDate=taken["date"],
        targetSnapshotName=name,
    )
    assert site.snapshot_is(name, "completed")["isFromAutoSnapshot"] is True
    restored = site.fresh("restored")
    site.call(
        "CreateDiskFromSnapshot",
        diskName=restored,
        sourceDiskName=disk,
        useLatestRestorableAutoSnapshot=True,
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    site.disk_is(restored, state="available")

    delete = site.call("DeleteAutoSnapshot", resourceName=disk, date=taken["date"])
    disable = site.call("DisableAddOn", resourceName=disk, addOnType="AutoSnapshot")

    (operation,) = delete["operations"]
    assert operation["operationDetails"] == f"DeleteAutoSnapshot-{taken['date']}"
    assert (operation["resourceType"], operation["status"]) == ("Disk", "Succeeded")
    assert operation["location"] == {"availabilityZone": REGION, "regionName": REGION}
    assert "statusChangedAt" not in operation
    assert site.call("GetAutoSnapshots", resourceName=disk)["autoSnapshots"] == []
    details = "DisableAddOn - AutoSnapshot"
    assert entries(disable) == [("Disk", disk, ZONE, details, "DisableAddOn", "Succeeded")]
    (disabled,) = site.call("GetDisk", diskName=disk)["disk"]["addOns"]
    assert disabled == {
        "name": "AutoSnapshot",
        "status": "Disabled",
        "snapshotTimeOfDay": add_on["snapshotTimeOfDay"],
    }


def test_a_snapshot_outlives_its_disk_and_becomes_another(site: Site) -> None:
    disk = site.disk()
    snapshot, name = site.snapshot(disk), site.fresh("restored")
    site.call("DeleteDisk", diskName=disk)

    result = site.call(
        "CreateDiskFromSnapshot",
        diskName=name,
        diskSnapshotName=snapshot,
        availabilityZone=OTHER_ZONE,
        sizeInGb=16,
    )

    assert entries(result) == [
        ("Disk", name, OTHER_ZONE, None, "CreateDiskFromSnapshot", "Started")
    ]
    assert site.disk_is(name, state="available")["sizeInGb"] == 16
    assert site.call("GetDiskSnapshot", diskSnapshotName=snapshot)["diskSnapshot"]["fromDiskName"]


def test_a_wish_for_mounting_is_told_back_truthfully(site: Site) -> None:
    disk, instance = site.disk(), site.instance()

    site.call(
        "AttachDisk",
        diskName=disk,
        instanceName=instance,
        diskPath="/dev/xvdf",
        autoMounting=True,
    )

    assert site.disk_is(disk, attachmentState="attached")["autoMountStatus"] == "NotMounted"
    site.call("DetachDisk", diskName=disk)
    assert "autoMountStatus" not in site.disk_is(disk, attachmentState="detached")


@pytest.mark.parametrize("operation", sorted(LISTS))
def test_lists_of_what_is_not_kept_are_empty(site: Site, operation: str) -> None:
    assert site.call(operation)[LISTS[operation]] == []


@pytest.mark.parametrize("operation", NOTHING)
def test_of_what_is_not_kept_little_is_told(site: Site, operation: str) -> None:
    assert NOTHING[operation].items() <= site.call(operation).items()


def test_there_is_no_peered_network(site: Site) -> None:
    assert site.call("IsVpcPeered")["isPeered"] is False


def test_tag_and_untag_resource(site: Site) -> None:
    snapshot = site.snapshot()
    arn = site.call("GetDiskSnapshot", diskSnapshotName=snapshot)["diskSnapshot"]["arn"]
    tags = [{"key": "a", "value": "1"}, {"key": "b"}]

    tag = site.call("TagResource", resourceName=snapshot, resourceArn=arn, tags=tags)
    untag = site.call("UntagResource", resourceName=snapshot, tagKeys=["a"])

    assert entries(tag) == [("DiskSnapshot", snapshot, "all", None, "TagResource", "Succeeded")]
    assert entries(untag) == [("DiskSnapshot", snapshot, "all", None, "UntagResource", "Succeeded")]
    assert site.snapshot_is(snapshot, "completed")["tags"] == [{"key": "b"}, *AT_REST]


def test_operations_of_a_resource_are_newest_first(site: Site) -> None:
    disk = site.disk()
    site.snapshot(disk)
    site.call("DeleteDisk", diskName=disk)

    result = site.call("GetOperationsForResource", resourceName=disk)

    types = [one["operationType"] for one in result["operations"]]
    assert types == ["DeleteDisk", "CreateDiskSnapshot", "CreateDisk"]
    newest = site.call("GetOperations")["operations"]
    assert {one["id"] for one in result["operations"]} <= {one["id"] for one in newest}


def test_listings(site: Site) -> None:
    disk, instance = site.attached()
    snapshot = site.snapshot(disk)

    assert disk in [one["name"] for one in site.call("GetDisks")["disks"]]
    assert instance in [one["name"] for one in site.call("GetInstances")["instances"]]
    assert snapshot in [one["name"] for one in site.call("GetDiskSnapshots")["diskSnapshots"]]
    assert {disk, instance, snapshot} <= set(site.active_names())


def test_regions_blueprints_and_bundles(site: Site) -> None:
    plain = site.call("GetRegions")["regions"]
    full = site.call("GetRegions", includeAvailabilityZones=True)["regions"]

    assert [one["name"] for one in plain][:3] == ["us-east-2", "us-west-2", "eu-west-1"]
    assert [one["availabilityZones"] for one in plain] == [[]] * len(plain)
    zones = [{"zoneName": zone, "state": "available"} for zone in (ZONE, OTHER_ZONE)]
    assert full[0]["availabilityZones"] == zones
    blueprints = site.call("GetBlueprints", includeInactive=True)["blueprints"]
    assert "external" in [one["blueprintId"] for one in blueprints]
    bundles = site.call("GetBundles", includeInactive=True)["bundles"]
    assert "external" in [one["bundleId"] for one in bundles]


def test_regions_are_apart(boto: Boto, site: Site) -> None:
    disk = site.disk()

    reply = boto.reply("GetDisk", {"diskName": disk}, client={"region": "us-west-2"})

    assert reply.error is not None
    assert reply.error.type == "NotFoundException"
    there = {"diskName": disk, "availabilityZone": "us-west-2a", "sizeInGb": 8}
    made = boto.reply("CreateDisk", there, client={"region": "us-west-2"}).get()
    assert made["operations"][0]["location"]["regionName"] == "us-west-2"


def test_every_operation_served_is_called() -> None:
    cases = Path(__file__).parent
    files = [*cases.glob("test_*life_cycle.py"), cases / "test_addresses.py", cases / "site.py"]
    texts = "".join(file.read_text() for file in files)
    called = set(re.findall(r'"([A-Z][A-Za-z]+)"', texts))

    assert service_model.load().operations.keys() <= called | {*LISTS, *NOTHING}
