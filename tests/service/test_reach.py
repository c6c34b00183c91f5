"""A key that is bound to tags reaches nothing else, by nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mooring.catalog.transaction import Transaction
from mooring.jobs.automatic.due import take_due
from mooring.model.access import Access, Need, Role
from mooring.model.errors import AccessDeniedException, NotFoundException, ServiceError
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.protocol import service_model
from mooring.protocol.serialize import serialize_result
from mooring.service.context import Context
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.reach import Through
from mooring.service.table import OPERATIONS
from tests.service.automatic import MIDNIGHT, add_on
from tests.service.ssh import PUBLIC_KEY
from tests.service.world import REGION, ZONE, World

MODEL = service_model.load()
DB = Access("db-team", Role.OPERATOR, {"team": "db"})
TAGS = [{"key": "team", "value": "db"}]
SECRET = b"PAYROLL!" * 512

FOREIGN = ("theirs", "their-web", "their-snap", "their-whole", "their-ip", "their-key")
"""A resource of each kind that is not the team's."""

OWN = {"staticIpName": "our-ip", "keyPairName": "our-key"}
"""What the team has besides its instance and its disk, by the members that name it."""

TOLD_IN_FULL = {"GetActiveNames", "GetOperation", "GetOperations", "GetOperationsForResource"}
"""Names in use and operations have no tags, so they are shown to everybody."""

VALUES: dict[str, Any] = {
    "addOnRequest": add_on("06:00"),
    "addOnType": "AutoSnapshot",
    "availabilityZone": ZONE,
    "bundleId": "external",
    "blueprintId": "external",
    "date": "2026-11-23",
    "diskPath": "/dev/xvdz",
    "forceDeleteAddOns": True,
    "ipAddressType": "ipv4",
    "operationId": "00000000-0000-0000-0000-000000000001",
    "publicKeyBase64": PUBLIC_KEY,
    "portInfo": {"fromPort": 22, "toPort": 22, "protocol": "tcp"},
    "portInfos": [{"fromPort": 22, "toPort": 22, "protocol": "tcp"}],
    "resourceType": "Instance",
    "sizeInGb": 8,
    "sourceRegion": REGION,
    "tagKeys": ["other"],
    "tags": TAGS,
    "useLatestRestorableAutoSnapshot": True,
}
"""What requests give besides the names of resources, by member."""


@dataclass
class Shared:
    """A server that a team shares with others."""

    world: World
    payroll: str
    """The id of a disk of others that is attached to an instance of the team."""
    ids: list[str]
    """Of everything that is not the team's."""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    """The team has the instance `web` with the disk `ours`; others have attached `payroll`."""
    world = World(image_files=tmp_path)
    world.clock.milliseconds = MIDNIGHT
    for name in ("web", "their-web"):
        world.instance(name)
    for name in ("ours", "payroll", "theirs"):
        world.disk(name)
    for name in ("web", "ours"):
        world.call("TagResource", resourceName=name, tags=TAGS)
    world.attach("ours", "web", "/dev/xvdf")
    world.attach("payroll", "web", "/dev/xvdg")
    world.attach("theirs", "their-web", "/dev/xvdf")
    payroll = world.disk_id("payroll")
    world.engine.write(payroll, 0, SECRET)
    world.snapshot("their-snap", "theirs")
    world.instance_snapshot("their-whole", "their-web")
    world.snapshot("our-snap", "ours")
    world.call("TagResource", resourceName="our-snap", tags=TAGS)
    world.call("EnableAddOn", resourceName="web", addOnRequest=add_on("06:00"))
    world.settle()
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    world.settle()
    world.call("AllocateStaticIp", staticIpName="their-ip")
    world.call("AttachStaticIp", staticIpName="their-ip", instanceName="their-web")
    world.call("ImportKeyPair", keyPairName="their-key", publicKeyBase64=PUBLIC_KEY)
    world.call("AllocateStaticIp", access=DB, staticIpName="our-ip")
    world.call("ImportKeyPair", access=DB, keyPairName="our-key", publicKeyBase64=PUBLIC_KEY)
    for name in ("their-snap", "their-whole"):
        world.call("ExportSnapshot", sourceSnapshotName=name)
    world.settle()
    yield Shared(world, payroll, _ids(world, payroll))
    world.close()


def _ids(world: World, payroll: str) -> list[str]:
    with world.catalog.read() as transaction:
        found = [transaction.names.find(REGION, name) for name in (*FOREIGN, "payroll")]
        parts = of_disk(transaction, payroll)
    return [one[1] for one in found if one is not None] + [one.id for one in parts]


def of_disk(transaction: Transaction, disk_id: str) -> list[DiskSnapshot]:
    return [one for one in transaction.snapshots.all() if one.disk_id == disk_id]


def own_name(member: str) -> str:
    """The team's resource of the kind that a member names."""
    return OWN.get(member) or ("web" if "nstance" in member else "ours")


def request(operation: str, names: Mapping[str, str]) -> dict[str, Any]:
    """An input that would do, with these names of resources; others are new."""
    entry = OPERATIONS[operation]
    shape = MODEL.shape(MODEL.operations[operation].input)
    params = {name: value for name, value in VALUES.items() if name in shape.members}
    if "sourceInstanceName" not in names and "sourceDiskName" not in names:
        params.pop("useLatestRestorableAutoSnapshot", None)
    if entry.makes:
        many = MODEL.shape(shape.members[entry.makes]).type == "list"
        params[entry.makes] = ["fresh"] if many else "fresh"
    return {**params, **names}


def named() -> Iterator[tuple[str, str, str]]:
    """Each member of each operation that names a resource, with each name of others'."""
    for operation, entry in sorted(OPERATIONS.items()):
        for member in entry.on:
            for name in FOREIGN:
                yield operation, member, name


def test_what_others_have_cannot_be_named(shared: Shared) -> None:
    """One world serves all, because nothing happens to it."""
    before = contents(shared.world)
    for operation, member, name in named():
        own = {one: own_name(one) for one in OPERATIONS[operation].on}
        refusals = set()
        for others in ({}, own):
            params = request(operation, {**others, member: name})
            with pytest.raises(ServiceError) as caught:
                shared.world.call(operation, access=DB, **params)
            refusals.add(type(caught.value))
            assert not any(one in caught.value.message for one in shared.ids), operation
        # It may make no sense besides, but what makes sense is denied.
        assert AccessDeniedException in refusals
    assert contents(shared.world) == before


def contents(world: World) -> Any:
    """All that the catalog has, but for the operations."""
    with world.catalog.read() as transaction:
        return (
            transaction.disks.all(),
            transaction.instances.all(),
            transaction.snapshots.all(),
            transaction.instance_snapshots.all(),
            transaction.export_records.all(),
            transaction.static_ips.all(),
            transaction.key_pairs.all(),
            transaction.auto_runs.due(1 << 60),
            transaction.jobs.all(),
        )


def act_on_ones_own(shared: Shared, operation: str) -> None:
    """Name the team's instance by each member in turn; nothing of others is in what is told."""
    world = shared.world
    required = MODEL.shape(MODEL.operations[operation].input).required
    for member in OPERATIONS[operation].on or ("",):
        names = {member: OWN.get(member, "web")} if member else {}
        for other in OPERATIONS[operation].on:
            if other in required or member in OWN:
                names.setdefault(other, own_name(other))
        try:
            result = world.call(operation, access=DB, **request(operation, names))
            told = serialize_result(MODEL, operation, result).decode()
        except ServiceError as error:
            told = error.message
        assert not any(one in told for one in shared.ids)
        assert "payroll" not in told or operation in TOLD_IN_FULL
        world.settle()


def test_nothing_of_others_is_told(shared: Shared) -> None:
    for operation, entry in sorted(OPERATIONS.items()):
        if entry.need is Need.READ:
            act_on_ones_own(shared, operation)


@pytest.mark.parametrize(
    "operation", [name for name, entry in sorted(OPERATIONS.items()) if entry.need is Need.CHANGE]
)
def test_nothing_of_others_is_reached_through_what_is_ones_own(
    shared: Shared, operation: str
) -> None:
    """The instance is the team's, a disk attached to it and in its automatic snapshots is not."""
    world = shared.world
    with world.catalog.read() as transaction:
        before = transaction.disks.by_id(shared.payroll)
        taken = of_disk(transaction, shared.payroll)
    act_on_ones_own(shared, operation)
    with world.catalog.read() as transaction:
        assert transaction.disks.by_id(shared.payroll) == before
        assert of_disk(transaction, shared.payroll) == taken
        copies = [one for one in transaction.disks.all() if one.origin_id in shared.ids]
    assert copies == []
    assert world.engine.read(shared.payroll, 0, len(SECRET)) == SECRET


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_what_acts_on_an_instances_disks_is_declared(operation: str) -> None:
    """Whatever changes an instance's disks says so in the table, or is known to leave them."""
    leaves = {
        "AttachDisk", "AttachStaticIp", "CloseInstancePublicPorts", "CreateDiskFromSnapshot",
        "DeleteDisk", "DeleteDiskSnapshot", "DeleteInstanceSnapshot",
        "DeleteKeyPair", "DetachDisk", "DetachStaticIp", "ExportSnapshot",
        "OpenInstancePublicPorts", "PutInstancePublicPorts", "ReleaseStaticIp",
        "SetIpAddressType", "UpdateInstanceMetadataOptions",
    }  # fmt: skip
    entry = OPERATIONS[operation]
    if entry.need is Need.CHANGE and entry.on:
        assert (entry.through is not Through.NOTHING) != (operation in leaves)


@pytest.mark.parametrize("name", sorted(OWN_REQUESTS))
def test_own_requests_reach_nothing_of_others(shared: Shared, name: str) -> None:
    handlers = own_handlers(shared.world.backend)
    context = Context(REGION, "AKIATEST", "request", None, 0, DB)
    entry = OWN_REQUESTS[name].entry
    known = {"diskSnapshotName": "our-snap", "sizeInGb": 16}
    for member in entry.on:
        for foreign in FOREIGN:
            with pytest.raises(AccessDeniedException) as caught:
                handlers[name](context, {**known, member: foreign})
            assert not any(one in caught.value.message for one in shared.ids)
    if not entry.on and entry.need is Need.READ:
        try:
            told = json.dumps(handlers[name](context, {}))
        except ServiceError:
            return
        assert not any(one in told for one in (*shared.ids, "their-snap"))


def test_what_others_attached_is_not_listed(shared: Shared) -> None:
    world = shared.world
    for access in (DB, Access("eyes", Role.READ_ONLY, {"team": "db"})):
        shown = world.call("GetInstance", access=access, instanceName="web")["instance"]
        assert [one["name"] for one in shown["hardware"]["disks"]] == ["ours"]
        (listed,) = world.call("GetInstances", access=access)["instances"]
        assert [one["name"] for one in listed["hardware"]["disks"]] == ["ours"]
    everything = world.call("GetInstance", instanceName="web")["instance"]["hardware"]["disks"]
    assert [one["name"] for one in everything] == ["ours", "payroll"]


def test_what_is_made_of_several_disks_can_be_reached(shared: Shared) -> None:
    world = shared.world
    world.call("DetachDisk", diskName="payroll")
    world.settle()
    take: dict[str, Any] = {"instanceName": "web", "instanceSnapshotName": "our-whole"}
    world.call("CreateInstanceSnapshot", access=DB, tags=TAGS, **take)
    world.settle()
    world.call(
        "CreateInstancesFromSnapshot",
        access=DB,
        instanceNames=["again"],
        instanceSnapshotName="our-whole",
        availabilityZone=ZONE,
        bundleId="external",
        tags=TAGS,
    )
    world.settle()
    assert world.call("GetDisk", access=DB, diskName="again-ours")["disk"]["tags"] == TAGS
    for name in ("StopInstance", "StartInstance", "DeleteInstance"):
        world.call(name, access=DB, instanceName="again")
        world.settle()
    world.call("DeleteDisk", access=DB, diskName="again-ours")


def test_an_automatic_snapshot_holds_what_its_disks_were(shared: Shared) -> None:
    """Not even when the disk is deleted does what it held become another's."""
    world = shared.world
    world.call("DetachDisk", diskName="payroll")
    world.settle()
    world.call("DeleteDisk", diskName="payroll")
    world.settle()
    restore: dict[str, Any] = {
        "instanceNames": ["again"],
        "sourceInstanceName": "web",
        "useLatestRestorableAutoSnapshot": True,
        "availabilityZone": ZONE,
        "bundleId": "external",
        "tags": TAGS,
    }
    with pytest.raises(AccessDeniedException, match="automatic snapshots"):
        world.call("CreateInstancesFromSnapshot", access=DB, **restore)
    world.call("CreateInstancesFromSnapshot", **restore)


def test_an_automatic_snapshot_of_ones_own_disks_is_ones_own(world: World) -> None:
    world.clock.milliseconds = MIDNIGHT
    world.instance("web")
    world.disk("ours", tags=TAGS)
    world.call("TagResource", resourceName="web", tags=TAGS)
    world.attach("ours", "web")
    world.call("EnableAddOn", access=DB, resourceName="web", addOnRequest=add_on("06:00"))
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    world.settle()
    world.call("DetachDisk", access=DB, diskName="ours")
    world.settle()
    world.call("DeleteDisk", access=DB, diskName="ours")
    world.settle()
    world.call(
        "CreateInstancesFromSnapshot",
        access=DB,
        instanceNames=["again"],
        sourceInstanceName="web",
        useLatestRestorableAutoSnapshot=True,
        availabilityZone=ZONE,
        bundleId="external",
        tags=TAGS,
    )
    world.settle()
    assert world.call("GetDisk", access=DB, diskName="again-ours")["disk"]["state"] == "in-use"


def test_exports_of_others_are_not_shown(shared: Shared) -> None:
    world = shared.world
    world.call("ExportSnapshot", access=DB, sourceSnapshotName="our-snap")
    world.settle()
    records = world.call("GetExportSnapshotRecords", access=DB)["exportSnapshotRecords"]
    assert [one["sourceInfo"]["name"] for one in records] == ["our-snap"]
    everything = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    assert len(everything) == 3
    ask = own_handlers(world.backend)["export-record"]
    context = Context(REGION, "AKIATEST", "request", None, 0, DB)
    for one in everything:
        params = {"exportSnapshotRecordName": one["name"]}
        if one in records:
            assert ask(context, params)["state"] == "Succeeded"
        else:
            with pytest.raises(NotFoundException):
                ask(context, params)
    # The record stays the team's when the snapshot is gone.
    world.call("DeleteDiskSnapshot", access=DB, diskSnapshotName="our-snap")
    world.settle()
    assert world.call("GetExportSnapshotRecords", access=DB)["exportSnapshotRecords"] == records


def test_a_guest_agent_is_named_by_who_is_not_bound(shared: Shared) -> None:
    agent = [{"key": "mooring:guest-agent", "value": "/run/another.sock"}]
    with pytest.raises(AccessDeniedException, match="may be somebody else's guest"):
        shared.world.call("TagResource", access=DB, resourceName="web", tags=agent)
    with pytest.raises(AccessDeniedException, match="may be somebody else's guest"):
        shared.world.call(
            "CreateInstances",
            access=DB,
            **{**request("CreateInstances", {}), "tags": [*TAGS, *agent]},
        )
    shared.world.call("TagResource", resourceName="web", tags=agent)


def test_usage_shows_what_is_of_the_teams_own_disks(shared: Shared) -> None:
    """Automatic snapshots have no tags: the disk's say whose they are, and the instance's."""
    world = shared.world
    for name in ("ours", "theirs"):
        world.call("EnableAddOn", resourceName=name, addOnRequest=add_on("06:00"))
    world.clock.advance(24 * 3600)
    assert take_due(world.backend) == 3
    world.settle()
    world.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="of-admin")
    world.call("TagResource", resourceName="of-admin", tags=TAGS)
    world.settle()

    def disks(access: Access) -> dict[str, list[str]]:
        context = Context(
            region=REGION,
            caller="AKIATEST",
            request_id="request",
            invocation_id=None,
            received_ms=world.clock.now_ms(),
            access=access,
        )
        rows = own_handlers(world.backend)["usage"](context, {})["snapshots"]
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["diskSnapshotName"].split("@")[0], []).append(row["diskName"])
        return {name: sorted(names) for name, names in found.items()}

    everybody = disks(Access("admin", Role.ADMINISTRATOR, {}))
    assert everybody["web"] == ["ours", "ours", "payroll", "payroll"]
    assert everybody["theirs"] == ["theirs"]
    assert disks(DB) == {
        "our-snap": ["ours"],
        "ours": ["ours"],
        "web": ["ours", "ours"],
        # Who gave it to the team gave all of it.
        "of-admin/ours": ["ours"],
        "of-admin/payroll": ["payroll"],
    }
