"""Snapshots of disks and instances as the API shows them, and their exports."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.operation import ALL_ZONES, ResourceType
from mooring.model.resources.export_record import ExportRecord
from mooring.model.resources.instance_snapshot import InstanceSnapshot, InstanceSnapshotState
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.sizes import iops
from mooring.service.answers.views import View, arn, location_view, remembered, tag_views


@remembered
def snapshot_view(backend: Backend, snapshot: DiskSnapshot) -> View:
    """A snapshot as the API's DiskSnapshot."""
    return {
        "name": snapshot.name,
        "arn": arn(backend, snapshot.region, ResourceType.DISK_SNAPSHOT, snapshot.id),
        "supportCode": snapshot.support_code,
        "createdAt": snapshot.created_ms,
        "location": location_view(ALL_ZONES, snapshot.region),
        "resourceType": ResourceType.DISK_SNAPSHOT,
        "tags": tag_views(snapshot.tags),
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
        "location": location_view(ALL_ZONES, snapshot.region),
        "resourceType": ResourceType.INSTANCE_SNAPSHOT,
        "tags": tag_views(snapshot.tags),
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
        "location": location_view(ALL_ZONES, record.region),
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
        "location": location_view(part.disk_zone, part.region),
        "resourceType": ResourceType.DISK,
        "sizeInGb": part.size_gb,
        "isSystemDisk": False,
        "iops": iops(part.size_gb),
        "path": part.disk_path,
        "attachedTo": whole.instance_name,
        "isAttached": True,
    }
