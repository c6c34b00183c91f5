"""Operations on instances, and on snapshots of them, through boto3."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.entries import UUID, entries
from tests.clients.site import OTHER_ZONE, REGION, ZONE, Site

pytestmark = pytest.mark.full


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
