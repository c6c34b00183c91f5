"""An operation as a value: what a request has started."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ALL_ZONES = "all"
"""What stands for the zone of a resource that belongs to a region."""


class OperationStatus(StrEnum):
    """The states that the service's clients know."""

    STARTED = "Started"
    FAILED = "Failed"
    SUCCEEDED = "Succeeded"


class ResourceType(StrEnum):
    """The types of the resources served."""

    DISK = "Disk"
    DISK_SNAPSHOT = "DiskSnapshot"
    INSTANCE = "Instance"
    EXPORT_SNAPSHOT_RECORD = "ExportSnapshotRecord"
    INSTANCE_SNAPSHOT = "InstanceSnapshot"
    STATIC_IP = "StaticIp"
    KEY_PAIR = "KeyPair"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One entry of a reply's `operations`. Times are milliseconds."""

    id: str
    region: str
    zone: str
    resource_id: str
    resource_name: str
    resource_type: ResourceType
    type: str
    details: str | None = None
    status: OperationStatus = OperationStatus.STARTED
    created_ms: int
    changed_ms: int
    error_code: str | None = None
    error_details: str | None = None
    job_id: str | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status is not OperationStatus.STARTED
