"""What all values have in common as the API shows them; disks, key pairs, operations.

Times stay integer milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from mooring.backend.backend import Backend
from mooring.model.operation import ALL_ZONES, Operation, ResourceType
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.host import HOST_TAG
from mooring.model.resources.instance import Instance
from mooring.model.resources.key_pair import KeyPair
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


def disk_view(backend: Backend, disk: Disk) -> View:
    """A disk as the API's Disk."""
    view = _disk_view(backend, disk)
    if not disk.host and disk.zone in backend.engines:
        return view  # as nearly always, and lists have many
    told: View = {}
    if disk.host:
        told["tags"] = tag_views(with_host(backend, disk))
    if disk.host and backend.hosts.problem(disk.host) is not None:
        told["state"] = DiskState.ERROR
    elif not backend.is_served(disk):
        # The service's word for what cannot be said: nobody can look at the disk.
        told["state"] = DiskState.UNKNOWN
    return {**view, **told} if told else view


def with_host(backend: Backend, resource: Disk | Instance) -> Tags:
    """The tags of what is on one of several hosts, with the name of that one."""
    name = backend.hosts.name(resource.host)
    return resource.tags if name is None else {**resource.tags, HOST_TAG: name}


@remembered
def _disk_view(backend: Backend, disk: Disk) -> View:
    attached = disk.attachment is Attachment.ATTACHED
    return {
        "name": disk.name,
        "arn": arn(backend, disk.region, ResourceType.DISK, disk.id),
        "supportCode": disk.support_code,
        "createdAt": disk.created_ms,
        "location": location_view(disk.zone, disk.region),
        "resourceType": ResourceType.DISK,
        "tags": tag_views(disk.tags),
        "addOns": add_on_views(disk),
        "sizeInGb": disk.size_gb,
        "isSystemDisk": disk.is_system,
        "iops": iops(disk.size_gb),
        "path": disk.path,
        "state": disk.state,
        "attachedTo": disk.instance_name,
        "isAttached": attached,
        "attachmentState": disk.attachment,
        # It is a wish to the machine that uses the disk, which is not ours.
        "autoMountStatus": "NotMounted" if disk.auto_mounting else None,
    }


def key_pair_view(backend: Backend, pair: KeyPair) -> View:
    """A key pair as the API's KeyPair."""
    return {
        "name": pair.name,
        "arn": arn(backend, pair.region, ResourceType.KEY_PAIR, pair.id),
        "supportCode": f"{backend.account_id}/{pair.name}",
        "createdAt": pair.created_ms,
        "location": location_view(ALL_ZONES, pair.region),
        "resourceType": ResourceType.KEY_PAIR,
        "tags": tag_views(pair.tags),
        "fingerprint": pair.fingerprint,
    }


def operation_view(operation: Operation) -> View:
    """An operation as the API's Operation."""
    return {
        "id": operation.id,
        "resourceName": operation.resource_name,
        "resourceType": operation.resource_type,
        "createdAt": operation.created_ms,
        "location": location_view(operation.zone, operation.region),
        "isTerminal": operation.is_terminal,
        "operationDetails": operation.details,
        "operationType": operation.type,
        "status": operation.status,
        # The real service leaves it out here, for whatever reason.
        "statusChangedAt": None if operation.type == "DeleteAutoSnapshot" else operation.changed_ms,
        "errorCode": operation.error_code,
        "errorDetails": operation.error_details,
    }


def add_on_views(resource: Disk | Instance) -> list[View]:
    """The add-on for automatic snapshots as the API's AddOn; empty if there is none."""
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


def location_view(zone: str, region: str) -> View:
    """A place as the API's ResourceLocation."""
    return {"availabilityZone": zone, "regionName": region}


def tag_views(tags: Tags) -> list[View]:
    """Tags as the API shows them, a list of pairs."""
    return [{"key": key, "value": value} for key, value in tags.items()]
