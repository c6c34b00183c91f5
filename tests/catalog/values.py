"""Values to put into a catalog."""

from __future__ import annotations

from typing import Any

from mooring.model.operation import Operation, ResourceType
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.job import Job, JobKind
from mooring.model.resources.snapshot import DiskSnapshot

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


def job(job_id: str, key: str = "", **other: Any) -> Job:
    known: dict[str, Any] = {
        "id": job_id,
        "kind": JobKind.CREATE_DISK,
        "key": key or job_id,
        "region": REGION,
        "created_ms": 1,
        "arguments": {"disk": "id-data"},
    }
    return Job(**known | other)
