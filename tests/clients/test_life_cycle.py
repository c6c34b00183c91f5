"""Every operation through boto3: operations' entries, states, answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.protocol import service_model
from mooring.service.answers.nothing_kept import LISTS, NOTHING
from tests.clients.boto import Boto
from tests.clients.site import OTHER_ZONE, REGION, ZONE, Site

pytestmark = pytest.mark.full

AT_REST = [{"key": "mooring:consistency", "value": "at-rest"}]
"""The tag of a snapshot whose disk nobody used."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def entries(result: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Of each operation what the reference says about it, and what can be said of all."""
    for one in result["operations"]:
        assert UUID.fullmatch(one["id"])
        assert one["createdAt"] <= one["statusChangedAt"]
        assert one["location"]["regionName"] == REGION
        assert one["isTerminal"] == (one["status"] == "Succeeded")
        assert not one.keys() & {"errorCode", "errorDetails"}
    return [
        (
            one["resourceType"],
            one["resourceName"],
            one["location"]["availabilityZone"],
            one.get("operationDetails"),
            one["operationType"],
            one["status"],
        )
        for one in result["operations"]
    ]


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


def test_automatic_snapshots_of_an_instance(site: Site) -> None:
    disk, instance = site.attached()
    daily = {"addOnType": "AutoSnapshot"}

    enable = site.call("EnableAddOn", resourceName=instance, addOnRequest=daily)

    details = "EnableAddOn - AutoSnapshot"
    assert entries(enable) == [("Instance", instance, ZONE, details, "EnableAddOn", "Succeeded")]
    (add_on,) = site.call("GetInstance", instanceName=instance)["instance"]["addOns"]
    assert (add_on["name"], add_on["status"]) == ("AutoSnapshot", "Enabled")
    taken = site.take_automatic(instance, "Instance")
    (held,) = taken["fromAttachedDisks"]
    assert held["sizeInGb"] == 8
    copy, restored = site.fresh("copy"), site.fresh("restored")
    latest: dict[str, Any] = {"useLatestRestorableAutoSnapshot": True}
    site.call(
        "CopySnapshot",
        sourceRegion=REGION,
        sourceResourceName=instance,
        targetSnapshotName=copy,
        **latest,
    )
    kept = site.instance_snapshot_is(copy, "available")
    assert kept["isFromAutoSnapshot"] is True
    assert [one["name"] for one in kept["fromAttachedDisks"]] == [disk]
    site.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[restored],
        sourceInstanceName=instance,
        availabilityZone=ZONE,
        bundleId="external",
        addOns=[daily],
        **latest,
    )
    site.instance_is(restored, "running")
    site.disk_is(f"{restored}-{disk}", attachmentState="attached")
    site.call("DeleteInstance", instanceName=restored, forceDeleteAddOns=True)
    delete = site.call("DeleteAutoSnapshot", resourceName=instance, date=taken["date"])
    (operation,) = delete["operations"]
    assert (operation["resourceType"], operation["status"]) == ("Instance", "Succeeded")
    assert site.call("GetAutoSnapshots", resourceName=instance)["autoSnapshots"] == []


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


def test_instance_snapshots(site: Site) -> None:
    disk, instance = site.attached()
    name, tags = site.fresh("all"), [{"key": "why", "value": "upgrade"}]

    result = site.call(
        "CreateInstanceSnapshot", instanceName=instance, instanceSnapshotName=name, tags=tags
    )

    assert entries(result) == [
        ("InstanceSnapshot", name, "all", instance, "CreateInstanceSnapshot", "Started"),
        ("Instance", instance, ZONE, name, "CreateInstanceSnapshot", "Started"),
    ]
    assert [one["status"] for one in site.ended(result)] == ["Succeeded", "Succeeded"]
    found = site.instance_snapshot_is(name, "available")
    arn = rf"arn:aws:lightsail:{REGION}:\d{{12}}:InstanceSnapshot/{UUID.pattern}"
    assert re.fullmatch(arn, found["arn"])
    assert re.fullmatch(r"\d{12}/ami-0[0-9a-f]{16}", found["supportCode"])
    consistency = {"key": "mooring:consistency", "value": "crash"}
    assert found["tags"] == [consistency, *tags]
    assert (found["sizeInGb"], found["isFromAutoSnapshot"]) == (8, False)
    (part,) = found["fromAttachedDisks"]
    source = site.call("GetDisk", diskName=disk)["disk"]
    for member in ("name", "arn", "path", "sizeInGb", "iops", "location", "attachedTo"):
        assert part[member] == source[member]
    listed = site.call("GetInstanceSnapshots")["instanceSnapshots"]
    assert name in [one["name"] for one in listed]

    result = site.call("ExportSnapshot", sourceSnapshotName=name)

    record = result["operations"][0]["resourceName"]
    assert entries(result) == [
        ("ExportSnapshotRecord", record, "all", name, "ExportSnapshot", "Started"),
        ("InstanceSnapshot", name, "all", record, "ExportSnapshot", "Started"),
    ]
    assert {one["status"] for one in site.ended(result)} == {"Succeeded"}
    records = site.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    (exported,) = [one for one in records if one["name"] == record]
    assert exported["state"] == "Succeeded"
    assert Path(exported["destinationInfo"]["id"], f"{disk}.raw").stat().st_size == 8 * 1024**3
    again = site.fresh("web")
    result = site.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[again],
        attachedDiskMapping={
            again: [{"originalDiskPath": "/dev/xvdf", "newDiskName": f"{again}-f"}]
        },
        instanceSnapshotName=name,
        availabilityZone=OTHER_ZONE,
        bundleId="external",
    )

    assert entries(result) == [
        ("Instance", again, OTHER_ZONE, None, "CreateInstancesFromSnapshot", "Started")
    ]
    assert [one["status"] for one in site.ended(result)] == ["Succeeded"]
    site.instance_is(again, "running")
    assert site.disk_is(f"{again}-f", attachmentState="attached")["attachedTo"] == again

    result = site.call("DeleteInstanceSnapshot", instanceSnapshotName=name)

    assert entries(result) == [
        ("InstanceSnapshot", name, "all", None, "DeleteInstanceSnapshot", "Succeeded")
    ]


def test_create_instances(site: Site) -> None:
    names = [site.fresh("web"), site.fresh("web")]

    result = site.call(
        "CreateInstances",
        instanceNames=names,
        availabilityZone=ZONE,
        blueprintId="amazon_linux_2023",
        bundleId="nano_3_0",
        userData="#!/bin/sh",
        ipAddressType="dualstack",
        tags=[{"key": "role", "value": "web"}],
    )

    assert entries(result) == [
        ("Instance", name, ZONE, None, "CreateInstance", "Started") for name in names
    ]
    site.ended(result)
    instance = site.call("GetInstance", instanceName=names[1])["instance"]
    assert instance["state"] == {"code": 16, "name": "running"}
    assert (instance["blueprintId"], instance["bundleId"]) == ("amazon_linux_2023", "nano_3_0")
    assert instance["tags"] == [{"key": "role", "value": "web"}]
    assert instance["ipAddressType"] == "dualstack"


def test_stop_and_start_instance(site: Site) -> None:
    disk, name = site.attached()

    stop = site.call("StopInstance", instanceName=name, force=True)

    assert entries(stop) == [("Instance", name, ZONE, None, "StopInstance", "Started")]
    assert site.instance_is(name, "stopped")["code"] == 80
    site.disk_is(disk, state="in-use", isAttached=True)

    start = site.call("StartInstance", instanceName=name)

    assert entries(start) == [("Instance", name, ZONE, None, "StartInstance", "Started")]
    assert site.instance_is(name, "running")["code"] == 16


def test_reboot_instance(site: Site) -> None:
    disk, name = site.attached()

    result = site.call("RebootInstance", instanceName=name)

    assert entries(result) == [("Instance", name, ZONE, "", "RebootInstance", "Succeeded")]
    site.instance_is(name, "running")
    site.disk_is(disk, state="in-use", isAttached=True)


def test_what_is_set_on_an_instance_is_read_back(site: Site) -> None:
    name = site.instance()
    web = {"fromPort": 80, "toPort": 81, "protocol": "TCP"}
    ssh = {"fromPort": 22, "toPort": 22, "protocol": "tcp", "cidrs": ["10.0.0.0/8"]}
    whole = {"fromPort": 0, "toPort": 65535, "protocol": "all"}
    assert site.call("GetInstancePortStates", instanceName=name)["portStates"] == []

    put = site.call("PutInstancePublicPorts", instanceName=name, portInfos=[ssh, web, whole])
    opened = site.call(
        "OpenInstancePublicPorts", instanceName=name, portInfo={**web, "protocol": "UDP"}
    )
    closed = site.call("CloseInstancePublicPorts", instanceName=name, portInfo=web)
    options = site.call("UpdateInstanceMetadataOptions", instanceName=name, httpTokens="required")
    address = site.call(
        "SetIpAddressType", resourceType="Instance", resourceName=name, ipAddressType="ipv6"
    )

    for result, operation, details in (
        (put, "PutInstancePublicPorts", "22/tcp, 80-81/tcp, 0-65535/all"),
        (opened, "OpenInstancePublicPorts", "80-81/udp"),
        (closed, "CloseInstancePublicPorts", "80-81/tcp"),
        (options, "UpdateInstanceMetadataOptions", None),
    ):
        assert entries({"operations": [result["operation"]]}) == [
            ("Instance", name, ZONE, details, operation, "Succeeded")
        ]
    assert entries(address) == [("Instance", name, ZONE, None, "SetIpAddressType", "Succeeded")]
    states = site.call("GetInstancePortStates", instanceName=name)["portStates"]
    anywhere = {"cidrs": ["0.0.0.0/0"], "ipv6Cidrs": ["::/0"], "cidrListAliases": []}
    assert states == [
        {**ssh, "state": "open", "ipv6Cidrs": [], "cidrListAliases": []},
        {**whole, "protocol": "-1", "state": "open", **anywhere},
        {**web, "protocol": "udp", "state": "open", **anywhere},
    ]
    again = [{key: one[key] for key in one.keys() - {"state"}} for one in states]
    site.call("PutInstancePublicPorts", instanceName=name, portInfos=again)
    assert site.call("GetInstancePortStates", instanceName=name)["portStates"] == states
    found = site.call("GetInstance", instanceName=name)["instance"]
    assert [one["accessFrom"] for one in found["networking"]["ports"]] == [
        "Custom",
        "Anywhere (0.0.0.0/0)",
        "Anywhere (0.0.0.0/0)",
    ]
    assert found["ipAddressType"] == "ipv6"
    assert found["metadataOptions"] == {
        "state": "applied",
        "httpTokens": "required",
        "httpEndpoint": "enabled",
        "httpPutResponseHopLimit": 1,
        "httpProtocolIpv6": "disabled",
    }


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


def test_delete_instance(site: Site) -> None:
    disk, name = site.attached()

    result = site.call("DeleteInstance", instanceName=name, forceDeleteAddOns=True)

    assert entries(result) == [
        ("Disk", disk, ZONE, name, "DetachDisk", "Started"),
        ("Instance", name, ZONE, disk, "DetachDisk", "Started"),
        ("Instance", name, ZONE, None, "DeleteInstance", "Succeeded"),
    ]
    assert {one["status"] for one in site.ended(result)} == {"Succeeded"}
    site.disk_is(disk, state="available", attachmentState="detached")


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
    files = ("test_life_cycle.py", "test_addresses.py", "site.py")
    texts = "".join(Path(__file__).with_name(name).read_text() for name in files)
    called = set(re.findall(r'"([A-Z][A-Za-z]+)"', texts))

    assert service_model.load().operations.keys() <= called | {*LISTS, *NOTHING}
