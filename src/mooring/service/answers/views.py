"""Values as the API shows them; times stay integer milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar

from mooring.backend.backend import Backend
from mooring.model import blueprints
from mooring.model.addresses import addresses_of
from mooring.model.operation import ALL_ZONES, Operation, ResourceType
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.export_record import ExportRecord
from mooring.model.resources.firewall import ANYWHERE, Ports
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, InstanceSnapshotState
from mooring.model.resources.key_pair import DEFAULT_KEY_PAIR, KeyPair
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.static_ip import StaticIp
from mooring.model.resources.system_disk import system_disk
from mooring.model.sizes import iops
from mooring.model.tags import Tags
from mooring.protocol.serialize import Settled

View = dict[str, Any]

Value = TypeVar("Value")

REMEMBERED_VIEWS = 5000
"""Views of values kept to save making and writing them again: lists show the same ones often."""


def remembered(make: Callable[[Backend, Value], View]) -> Callable[[Backend, Value], View]:
    """Give the same view for the same value, which never changes; nobody may change the view."""

    @wraps(make)
    def view(backend: Backend, value: Value) -> View:
        # The value is kept, too: so its id stays its own.
        _, found = backend.views.get(id(value), (None, None))
        if found is None:
            if len(backend.views) >= REMEMBERED_VIEWS:
                backend.views.clear()
            found = Settled(make(backend, value))
            backend.views[id(value)] = value, found
        return found

    return view


def arn(backend: Backend, region: str, kind: ResourceType, resource_id: str) -> str:
    """The Amazon resource name."""
    return f"arn:aws:lightsail:{region}:{backend.account_id}:{kind}/{resource_id}"


@remembered
def disk_view(backend: Backend, disk: Disk) -> View:
    """A disk as the API's Disk."""
    attached = disk.attachment is Attachment.ATTACHED
    return {
        "name": disk.name,
        "arn": arn(backend, disk.region, ResourceType.DISK, disk.id),
        "supportCode": disk.support_code,
        "createdAt": disk.created_ms,
        "location": _location(disk.zone, disk.region),
        "resourceType": ResourceType.DISK,
        "tags": _tags(disk.tags),
        "addOns": _add_ons(disk),
        "sizeInGb": disk.size_gb,
        "isSystemDisk": disk.is_system,
        "iops": iops(disk.size_gb),
        "path": disk.path,
        # The service's word for what cannot be said: nobody can look at the disk.
        "state": disk.state if disk.zone in backend.engines else DiskState.UNKNOWN,
        "attachedTo": disk.instance_name,
        "isAttached": attached,
        "attachmentState": disk.attachment,
        # It is a wish to the machine that uses the disk, which is not ours.
        "autoMountStatus": "NotMounted" if disk.auto_mounting else None,
    }


@remembered
def snapshot_view(backend: Backend, snapshot: DiskSnapshot) -> View:
    """A snapshot as the API's DiskSnapshot."""
    return {
        "name": snapshot.name,
        "arn": arn(backend, snapshot.region, ResourceType.DISK_SNAPSHOT, snapshot.id),
        "supportCode": snapshot.support_code,
        "createdAt": snapshot.created_ms,
        "location": _location(ALL_ZONES, snapshot.region),
        "resourceType": ResourceType.DISK_SNAPSHOT,
        "tags": _tags(snapshot.tags),
        "sizeInGb": snapshot.size_gb,
        "state": snapshot.state,
        "progress": f"{snapshot.progress}%",
        **_from_disk(backend, snapshot),
        "isFromAutoSnapshot": snapshot.from_auto,
    }


def _from_disk(backend: Backend, snapshot: DiskSnapshot) -> View:
    """What it was taken of, by the name that the request gave: a disk, or an instance."""
    if snapshot.from_instance_id is not None:
        return {
            "fromInstanceName": snapshot.from_instance_name,
            "fromInstanceArn": arn(
                backend,
                backend.region_of(snapshot.disk_zone, snapshot.region),
                ResourceType.INSTANCE,
                snapshot.from_instance_id,
            ),
        }
    if not snapshot.disk_name:
        return {}  # made from an image file
    return {
        "fromDiskName": snapshot.disk_name,
        "fromDiskArn": arn(
            backend,
            backend.region_of(snapshot.disk_zone, snapshot.region),
            ResourceType.DISK,
            snapshot.disk_id,
        ),
    }


def instance_snapshot_view(backend: Backend, snapshot: InstanceSnapshot) -> View:
    """An instance snapshot as the API's InstanceSnapshot. Its size is that of all its disks."""
    available = snapshot.state is InstanceSnapshotState.AVAILABLE
    return {
        "name": snapshot.name,
        "arn": arn(backend, snapshot.region, ResourceType.INSTANCE_SNAPSHOT, snapshot.id),
        "supportCode": snapshot.support_code,
        "createdAt": snapshot.created_ms,
        "location": _location(ALL_ZONES, snapshot.region),
        "resourceType": ResourceType.INSTANCE_SNAPSHOT,
        "tags": _tags(snapshot.tags),
        "state": snapshot.state,
        # The service tells it only while it counts.
        "progress": None if available else f"{snapshot.progress}%",
        "fromAttachedDisks": [
            _attached_disk_view(backend, snapshot, part)
            for part in snapshot.parts
            # On the service it is what the snapshot is of, and not among these.
            if not part.is_system
        ],
        "fromInstanceName": snapshot.instance_name,
        "fromInstanceArn": arn(
            backend, snapshot.region, ResourceType.INSTANCE, snapshot.instance_id
        ),
        "fromBlueprintId": snapshot.blueprint_id,
        "fromBundleId": snapshot.bundle_id,
        "isFromAutoSnapshot": snapshot.from_auto,
        "sizeInGb": snapshot.size_gb,
    }


def export_record_view(backend: Backend, record: ExportRecord) -> View:
    """An export record as the API's ExportSnapshotRecord."""
    kind = ResourceType.INSTANCE if record.of_instance else ResourceType.DISK
    source: View = {
        "resourceType": record.source_type,
        "createdAt": record.source_created_ms,
        "name": record.source_name,
        "arn": arn(backend, record.region, record.source_type, record.source_id),
        "fromResourceName": record.from_name,
        "fromResourceArn": arn(backend, record.region, kind, record.from_id),
    }
    if record.of_instance:
        source["instanceSnapshotInfo"] = {
            "fromBundleId": record.bundle_id,
            "fromBlueprintId": record.blueprint_id,
            "fromDiskInfo": [
                {
                    "name": disk.name,
                    "path": disk.path,
                    "sizeInGb": disk.size_gb,
                    "isSystemDisk": disk.is_system,
                }
                for disk in record.disks
            ],
        }
    else:
        source["diskSnapshotInfo"] = {"sizeInGb": record.disks[0].size_gb}
    return {
        "name": record.name,
        "arn": arn(backend, record.region, ResourceType.EXPORT_SNAPSHOT_RECORD, record.id),
        "createdAt": record.created_ms,
        "location": _location(ALL_ZONES, record.region),
        "resourceType": ResourceType.EXPORT_SNAPSHOT_RECORD,
        "state": record.state,
        "sourceInfo": source,
        "destinationInfo": {"id": record.destination, "service": "raw image file"},
    }


def _attached_disk_view(backend: Backend, whole: InstanceSnapshot, part: DiskSnapshot) -> View:
    """A part as the disk that it was taken of, as it was then."""
    return {
        "name": part.disk_name,
        "arn": arn(backend, part.region, ResourceType.DISK, part.disk_id),
        "location": _location(part.disk_zone, part.region),
        "resourceType": ResourceType.DISK,
        "sizeInGb": part.size_gb,
        "isSystemDisk": False,
        "iops": iops(part.size_gb),
        "path": part.disk_path,
        "attachedTo": whole.instance_name,
        "isAttached": True,
    }


def instance_view(backend: Backend, instance: Instance, disks: Iterable[Disk]) -> View:
    """An instance as the API's Instance; its addresses are only told, unless a tag gives them."""
    blueprint = blueprints.blueprint(instance.blueprint_id) or {}
    bundle = blueprints.bundle(instance.bundle_id) or {}
    assert instance.slot is not None
    addresses = addresses_of(
        instance.slot, instance.ip_address_type, instance.tags, instance.static_slot
    )
    return {
        "name": instance.name,
        "arn": arn(backend, instance.region, ResourceType.INSTANCE, instance.id),
        "supportCode": instance.support_code,
        "createdAt": instance.created_ms,
        "location": _location(instance.zone, instance.region),
        "resourceType": ResourceType.INSTANCE,
        "tags": _tags(instance.tags),
        "blueprintId": instance.blueprint_id,
        "blueprintName": blueprint.get("name", instance.blueprint_id),
        "bundleId": instance.bundle_id,
        "addOns": _add_ons(instance),
        "isStaticIp": instance.static_slot is not None,
        "privateIpAddress": addresses.private,
        "publicIpAddress": addresses.public,
        "ipv6Addresses": None if addresses.ipv6 is None else [addresses.ipv6],
        "ipAddressType": instance.ip_address_type,
        "hardware": {
            "cpuCount": bundle.get("cpuCount", 0),
            "disks": _hardware_disks(backend, instance, list(disks)),
            "ramSizeInGb": bundle.get("ramSizeInGb", 0.0),
        },
        "networking": {
            "monthlyTransfer": {"gbPerMonthAllocated": bundle.get("transferPerMonthInGb", 0)},
            "ports": [_port_view(one) for one in instance.ports],
        },
        "metadataOptions": _metadata_view(instance),
        "state": state_view(instance),
        "username": blueprints.username(instance.blueprint_id),
        "sshKeyName": instance.key_pair or DEFAULT_KEY_PAIR,
    }


def _hardware_disks(backend: Backend, instance: Instance, disks: Sequence[Disk]) -> list[View]:
    """The disks, with the system disk marked: the instance's own, or the one that its tag names."""
    chosen = system_disk(instance, disks)
    return [
        {**disk_view(backend, disk), "isSystemDisk": True}
        if disk is chosen and not disk.is_system
        else disk_view(backend, disk)
        for disk in disks
    ]


def static_ip_view(backend: Backend, one: StaticIp) -> View:
    """A static IP as the API's StaticIp, which has no tags."""
    return {
        "name": one.name,
        "arn": arn(backend, one.region, ResourceType.STATIC_IP, one.id),
        "supportCode": f"{backend.account_id}/{one.address}",
        "createdAt": one.created_ms,
        "location": _location(ALL_ZONES, one.region),
        "resourceType": ResourceType.STATIC_IP,
        "ipAddress": one.address,
        "attachedTo": one.instance_name,
        "isAttached": one.instance_id is not None,
    }


def key_pair_view(backend: Backend, pair: KeyPair) -> View:
    """A key pair as the API's KeyPair."""
    return {
        "name": pair.name,
        "arn": arn(backend, pair.region, ResourceType.KEY_PAIR, pair.id),
        "supportCode": f"{backend.account_id}/{pair.name}",
        "createdAt": pair.created_ms,
        "location": _location(ALL_ZONES, pair.region),
        "resourceType": ResourceType.KEY_PAIR,
        "tags": _tags(pair.tags),
        "fingerprint": pair.fingerprint,
    }


def port_state_view(ports: Ports) -> View:
    """An entry of the firewall as the API's InstancePortState."""
    return {
        "fromPort": ports.first,
        "toPort": ports.last,
        # The real service's word, which its model does not have (terraform-provider-aws#36091).
        "protocol": "-1" if ports.protocol == "all" else ports.protocol,
        "state": "open",
        "cidrs": list(ports.cidrs),
        "ipv6Cidrs": list(ports.ipv6_cidrs),
        "cidrListAliases": list(ports.aliases),
    }


def _port_view(ports: Ports) -> View:
    anywhere = ANYWHERE in ports.cidrs
    return {
        "fromPort": ports.first,
        "toPort": ports.last,
        "protocol": ports.protocol,
        "accessFrom": f"Anywhere ({ANYWHERE})" if anywhere else "Custom",
        "accessType": "Public",
        "commonName": "",
        "accessDirection": "inbound",
        "cidrs": list(ports.cidrs),
        "ipv6Cidrs": list(ports.ipv6_cidrs),
        "cidrListAliases": list(ports.aliases),
    }


def _metadata_view(instance: Instance) -> View | None:
    if instance.metadata_options is None:
        return None
    return {"state": "applied", **instance.metadata_options}


def state_view(instance: Instance) -> View:
    """An instance's state as the API's InstanceState."""
    return {"code": instance.state.code, "name": instance.state.label}


def operation_view(operation: Operation) -> View:
    """An operation as the API's Operation."""
    return {
        "id": operation.id,
        "resourceName": operation.resource_name,
        "resourceType": operation.resource_type,
        "createdAt": operation.created_ms,
        "location": _location(operation.zone, operation.region),
        "isTerminal": operation.is_terminal,
        "operationDetails": operation.details,
        "operationType": operation.type,
        "status": operation.status,
        # The real service leaves it out here, for whatever reason.
        "statusChangedAt": None if operation.type == "DeleteAutoSnapshot" else operation.changed_ms,
        "errorCode": operation.error_code,
        "errorDetails": operation.error_details,
    }


def _add_ons(resource: Disk | Instance) -> list[View]:
    if resource.add_on is None:
        return []
    time, enabled = resource.add_on.time_of_day, resource.add_on.enabled
    return [
        {
            "name": "AutoSnapshot",
            "status": "Enabled" if enabled else "Disabled",
            "snapshotTimeOfDay": time,
            "nextSnapshotTimeOfDay": time if enabled else None,
        }
    ]


def _location(zone: str, region: str) -> View:
    return {"availabilityZone": zone, "regionName": region}


def _tags(tags: Tags) -> list[View]:
    return [{"key": key, "value": value} for key, value in tags.items()]
