"""The examples that come with awscli, beside what the server answers.

The examples were taken from the real service, so they show more than the model: which members
are there, and which are left out. Values differ; names and types must not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from mooring.admin.demo.server import client_program
from mooring.protocol import service_model
from mooring.service.answers.nothing_kept import LISTS, NOTHING
from tests.clients.site import REGION, ZONE, Site

pytestmark = pytest.mark.full

WITHOUT_EXAMPLE = {
    "CreateKeyPair",  # its output is not marked as one
    "DetachDisk",
    "DisableAddOn",
    "EnableAddOn",
    "DownloadDefaultKeyPair",
    "ExportSnapshot",
    "ImportKeyPair",
    "PutInstancePublicPorts",
    "SetIpAddressType",
    "TagResource",
    "UntagResource",
    "UpdateInstanceMetadataOptions",
    *LISTS,  # which are empty
    *NOTHING,
}

# What Mooring does not have: it boots nothing, so an instance has no system disk; of one's own
# machine it does not know the user, and a blueprint of that has no picture and no licence.
LEFT_OUT = re.compile(
    r"instances?\.username"
    r"|blueprints\.(description|productUrl|licenseUrl)"
    r"|bundles\.(instanceType|supportedPlatforms)"
)

# The examples show system disks only, which have no names, or none. GetDisk shows the others.
DISKS = re.compile(r"instances?\.hardware\.disks\..*|instanceSnapshots?\.fromAttachedDisks\..*")

# The examples copy snapshots of instances; those of disks are shown in the same way.
THE_SAME_HERE = {
    ("CopySnapshot", "InstanceSnapshot"): "DiskSnapshot",
    ("DeleteAutoSnapshot", "Instance"): "Disk",
}

# What the service has learned to say since its examples were taken.
NEWER = re.compile(
    r"(.*\.)?(cidrs|ipv6Cidrs|cidrListAliases|fromDiskInfo\.name|addOns(\..*)?|ipAddressType|isFromAutoSnapshot|ipv6Addresses|publicIpv4AddressCount)|nextPageToken"
    # How consistent a snapshot is, Mooring says by a tag: the API has no member for it.
    r"|(disk|instance)Snapshots?\.tags\.(key|value)"
)


LISTINGS = {
    "disks", "diskSnapshots", "instances", "instanceSnapshots", "keyPairs", "staticIps"
}  # fmt: skip

OPERATIONS = sorted(service_model.load().operations.keys() - WITHOUT_EXAMPLE)

# Where a list was cut short, its last entry is just an ellipsis and a brace.
CUT_SHORT = re.compile(r",\s*\.\.\.\s*\}?(?=\s*\])")


@cache
def examples(operation: str) -> list[Any]:
    """The outputs that the examples of an operation show."""
    folder = next(client_program("python").parent.parent.glob("lib/python3*/site-packages"))
    if operation == "GetExportSnapshotRecords":
        operation = "GetExportSnapshotRecord"  # the file's name
    command = re.sub(r"(?<!^)(?=[A-Z])", "-", operation).lower()
    text = (folder / "awscli/examples/lightsail" / f"{command}.rst").read_text()
    text = CUT_SHORT.sub("", text)
    return [
        json.JSONDecoder().raw_decode(text, output.end())[0]
        for output in re.finditer(r"^Output::\s*", text, re.MULTILINE)
    ]


def members(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Each member's path with its JSON type; the entries of a list are taken together."""
    if isinstance(value, dict):
        for name, item in value.items():
            path = f"{where}.{name}".lstrip(".")
            kind = {bool: "boolean", str: "string", list: "list", dict: "object"}
            yield path, kind.get(type(item), "number")
            yield from members(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from members(item, where)


def everything_but_disks(value: Any) -> dict[str, str]:
    return {path: kind for path, kind in members(value) if not DISKS.fullmatch(path)}


@pytest.fixture(scope="module")
def answers(site: Site) -> Mapping[str, list[Any]]:
    """The bodies of the answers to what the examples show, by operation."""
    found: dict[str, list[Any]] = {}

    words = ("disk", "web", "snap", "copy", "all", "address", "key")
    disk, web, snap, copy, whole, address, key = ours = [site.fresh(word) for word in words]

    def call(operation: str, **params: Any) -> None:
        reply = site.boto.reply(operation, params)
        reply.get()
        body = json.loads(reply.bodies[0])
        # The site is shared: what other tests have made there may have other members.
        for listing in LISTINGS & body.keys():
            body[listing] = [one for one in body[listing] if one["name"] in ours]
        found.setdefault(operation, []).append(body)

    new = {"availabilityZone": ZONE, "sizeInGb": 8}
    external = {"availabilityZone": ZONE, "blueprintId": "external", "bundleId": "external"}
    call("CreateDisk", diskName=disk, **new)
    call("CreateInstances", instanceNames=[web], keyPairName="mine", **external)
    site.disk_is(disk, state="available")
    site.instance_is(web, "running")
    call("GetDisk", diskName=disk)
    call("AttachDisk", diskName=disk, instanceName=web, diskPath="/dev/xvdf")
    site.disk_is(disk, attachmentState="attached")
    call("GetDisk", diskName=disk)
    call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=snap)
    site.snapshot_is(snap, "completed")
    call("CreateDiskFromSnapshot", diskName=copy, diskSnapshotName=snap, **new)
    site.disk_is(copy, state="available")
    call("CreateInstanceSnapshot", instanceName=web, instanceSnapshotName=whole)
    site.instance_snapshot_is(whole, "available")
    call("GetInstanceSnapshot", instanceSnapshotName=whole)
    ssh = {"fromPort": 22, "toPort": 22, "protocol": "tcp"}
    call("OpenInstancePublicPorts", instanceName=web, portInfo={**ssh, "fromPort": 21})
    call("CloseInstancePublicPorts", instanceName=web, portInfo={**ssh, "fromPort": 21})
    site.call("OpenInstancePublicPorts", instanceName=web, portInfo=ssh)
    call("GetInstancePortStates", instanceName=web)
    call("AllocateStaticIp", staticIpName=address)
    call("GetStaticIp", staticIpName=address)
    call("AttachStaticIp", staticIpName=address, instanceName=web)
    call("GetStaticIps")
    call("DetachStaticIp", staticIpName=address)
    call("ReleaseStaticIp", staticIpName=address)
    site.call("CreateKeyPair", keyPairName=key)
    call("GetKeyPair", keyPairName=key)
    call("GetKeyPairs")
    call("DeleteKeyPair", keyPairName=key)
    call("RebootInstance", instanceName=web)
    call("IsVpcPeered")
    daily = {"addOnType": "AutoSnapshot"}
    call("EnableAddOn", resourceName=disk, addOnRequest=daily)
    site.take_automatic(disk)
    call("GetAutoSnapshots", resourceName=disk)
    (taken,) = found["GetAutoSnapshots"][0]["autoSnapshots"]
    call("DeleteAutoSnapshot", resourceName=disk, date=taken["date"])
    call("DisableAddOn", resourceName=disk, addOnType="AutoSnapshot")
    again = site.fresh("again")
    call("CopySnapshot", sourceRegion=REGION, sourceSnapshotName=snap, targetSnapshotName=again)
    site.snapshot_is(again, "completed")
    for listing in ("GetDisks", "GetDiskSnapshots", "GetInstances", "GetOperations"):
        call(listing)
    made = {"availabilityZone": ZONE, "bundleId": "external", "instanceSnapshotName": whole}
    call("CreateInstancesFromSnapshot", instanceNames=[site.fresh("web")], **made)
    call("ExportSnapshot", sourceSnapshotName=whole)
    call("GetExportSnapshotRecords")
    site.call("TagResource", resourceName=whole, tags=[{"key": "no_delete"}])
    call("GetInstanceSnapshots")
    call("DeleteInstanceSnapshot", instanceSnapshotName=whole)
    for listing in ("GetActiveNames", "GetBlueprints", "GetBundles", "GetRegions"):
        call(listing)
    call("GetInstance", instanceName=web)
    call("GetInstanceState", instanceName=web)
    call("GetDiskSnapshot", diskSnapshotName=snap)
    call("GetOperationsForResource", resourceName=disk)
    operation = found["CreateInstances"][0]["operations"][0]["id"]
    call("GetOperation", operationId=operation)
    call("StopInstance", instanceName=web)
    site.instance_is(web, "stopped")
    call("StartInstance", instanceName=web)
    site.instance_is(web, "running")
    call("DeleteInstance", instanceName=web)
    site.disk_is(disk, attachmentState="detached")
    call("DeleteDiskSnapshot", diskSnapshotName=snap)
    call("DeleteDisk", diskName=disk)
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_answers_have_the_members_of_the_examples(
    answers: Mapping[str, list[Any]], operation: str
) -> None:
    theirs = everything_but_disks(examples(operation))
    ours = everything_but_disks(answers[operation])

    assert theirs
    missing = theirs.keys() - ours.keys()
    assert {path for path in missing if not LEFT_OUT.fullmatch(path)} == set()
    added = ours.keys() - theirs.keys()
    assert {path for path in added if not NEWER.fullmatch(path)} == set()
    shared = theirs.keys() & ours.keys()
    assert {path: ours[path] for path in shared} == {path: theirs[path] for path in shared}


@pytest.mark.parametrize(
    "operation", [one for one in OPERATIONS if not one.startswith(("Get", "Is"))]
)
def test_operations_are_shown_as_in_the_examples(
    answers: Mapping[str, list[Any]], operation: str
) -> None:
    """Order, types, states, and which have details: of each that begins some."""

    def shape(answer: Mapping[str, Any]) -> list[Any]:
        return [
            (
                THE_SAME_HERE.get((operation, one["resourceType"]), one["resourceType"]),
                one["location"]["availabilityZone"] == "all",
                "operationDetails" in one,
                one["operationType"],
                one["status"],
                one["isTerminal"],
            )
            for one in answer.get("operations") or [answer["operation"]]
        ]

    wanted = [shape(one) for one in examples(operation)]
    assert shape(answers[operation][0]) in wanted
