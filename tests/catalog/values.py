"""Values to put into a catalog."""

from __future__ import annotations

from typing import Any

from mooring.model.operation import Operation, ResourceType
from mooring.model.resources import job_arguments as arguments
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import Arguments
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot

SAMPLES: dict[JobKind, Arguments] = {
    one.kind: one
    for one in (
        arguments.CreateDisk(disk="id-data"),
        arguments.CloneDisk(disk="id-data", snapshot="snap"),
        arguments.FillDisk(disk="id-data", snapshot="snap"),
        arguments.GrowDisk(disk="id-data", size_gb=16),
        arguments.ForkDisk(disk="id-fork", source="id-data", point="point"),
        arguments.RevertDisk(disk="id-data", snapshot="snap", point="point", kept=True),
        arguments.DeleteDisk(disk="id-data"),
        arguments.MoveDisks(
            instance="id-web", disks=("a", "b"), snapshots=("c", "d"), source="id-host"
        ),
        arguments.AttachDisk(disk="id-data", instance="id-web"),
        arguments.DetachDisk(disk="id-data", instance="id-web"),
        arguments.CreateInstance(instance="id-web"),
        arguments.StartInstance(instance="id-web"),
        arguments.RebootInstance(instance="id-web"),
        arguments.StopInstance(instance="id-web"),
        arguments.RestoreInstance(instance="id-web", disks=("a", "b"), snapshots=("c", "d")),
        arguments.DeleteInstance(instance="id-web", disks=("a", "b")),
        arguments.Freeze(snapshot="snap", source="tag"),
        arguments.UploadSnapshot(snapshot="snap", disk="id-data"),
        arguments.ImportSnapshot(snapshot="snap", socket="/run/nbd.sock", export="image"),
        arguments.CopySnapshot(snapshot="b", disk="id-data", source="a", source_region="r"),
        arguments.ExportSnapshot(record="record", snapshots=("a", "b")),
        arguments.DeleteSnapshot(snapshot="snap", disk="id-data"),
        arguments.ExpireSnapshots(snapshots=("a", "b"), disks=("c", "d"), soon=True),
        arguments.CollectVault(),
        arguments.VerifyVault(percent=2.5),
        arguments.ReplicateVault(),
    )
}
"""Arguments of each kind."""

REGION, ZONE = "us-east-2", "us-east-2a"


def disk(name: str, **other: Any) -> Disk:
    known: dict[str, Any] = {
        "id": f"id-{name}",
        "region": REGION,
        "zone": ZONE,
        "name": name,
        "created_ms": 1,
        "support_code": "0/vol-0",
        "size_gb": 8,
    }
    return Disk(**known | other)


def instance(name: str, **other: Any) -> Instance:
    known: dict[str, Any] = {
        "id": f"id-{name}",
        "region": REGION,
        "zone": ZONE,
        "name": name,
        "created_ms": 1,
        "support_code": "0/i-0",
        "blueprint_id": "external",
        "bundle_id": "external",
    }
    return Instance(**known | other)


def snapshot(name: str, **other: Any) -> DiskSnapshot:
    known: dict[str, Any] = {
        "id": f"id-{name}",
        "region": REGION,
        "name": name,
        "created_ms": 1,
        "support_code": "0/snap-0",
        "size_gb": 8,
        "disk_id": "id-data",
        "disk_name": "data",
        "disk_zone": ZONE,
    }
    return DiskSnapshot(**known | other)


def instance_snapshot(name: str, *parts: DiskSnapshot, **other: Any) -> InstanceSnapshot:
    known: dict[str, Any] = {
        "id": f"id-{name}",
        "region": REGION,
        "name": name,
        "created_ms": 1,
        "support_code": "0/ami-0",
        "instance_id": "id-web",
        "instance_name": "web",
        "instance_zone": ZONE,
        "blueprint_id": "external",
        "bundle_id": "external",
        "parts": list(parts),
    }
    return InstanceSnapshot(**known | other)


def operation(number: int, **other: Any) -> Operation:
    known: dict[str, Any] = {
        "id": f"operation-{number}",
        "region": REGION,
        "zone": ZONE,
        "resource_id": "id-data",
        "resource_name": "data",
        "resource_type": ResourceType.DISK,
        "type": "CreateDisk",
        "created_ms": number,
        "changed_ms": number,
    }
    return Operation(**known | other)


def job(job_id: str, key: str = "", kind: JobKind = JobKind.CREATE_DISK, **other: Any) -> Job:
    known: dict[str, Any] = {
        "id": job_id,
        "key": key or job_id,
        "region": REGION,
        "created_ms": 1,
        "arguments": SAMPLES[kind],
    }
    return Job(**known | other)
