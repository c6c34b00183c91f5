"""The jobs that a snapshot starts, as values."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.model.resources.disk import Disk
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import (
    CopySnapshot,
    DeleteSnapshot,
    ExpireSnapshots,
    FillDisk,
    UploadSnapshot,
)
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState


def uploading(snapshot: DiskSnapshot, now_ms: int) -> Job:
    """The job that stores a snapshot; it has its id, and is held until the content is fixed."""
    return Job(
        id=snapshot.id,
        key=snapshot.disk_id,
        region=snapshot.region,
        created_ms=now_ms,
        zone=snapshot.disk_zone,
        arguments=UploadSnapshot(snapshot=snapshot.id, disk=snapshot.disk_id),
        not_before_ms=HELD_MS,
        group=snapshot.part_of,
    )


def filling(disk: Disk, snapshot_id: str, job_id: str, now_ms: int) -> Job:
    """The job that fills a disk that was made from a snapshot."""
    return Job(
        id=job_id,
        key=f"fill {disk.id}",
        region=disk.region,
        created_ms=now_ms,
        zone=disk.zone,
        arguments=FillDisk(disk=disk.id, snapshot=snapshot_id),
    )


def copying(snapshot: DiskSnapshot, source: DiskSnapshot, job_id: str, now_ms: int) -> Job:
    """The job that fills a pending copy from its source."""
    return Job(
        id=job_id,
        key=_copy_key(snapshot),
        region=snapshot.region,
        created_ms=now_ms,
        arguments=CopySnapshot(
            snapshot=snapshot.id,
            disk=snapshot.disk_id,
            source=source.id,
            source_region=source.region,
        ),
        group=snapshot.part_of,
    )


def deletion(snapshot: DiskSnapshot, job_id: str, now_ms: int) -> Job:
    """The job that removes a snapshot from the vault after it is gone from the catalog.

    One that is still being stored is deleted after its upload, or its copying, has noticed.
    """
    key = snapshot.id
    if snapshot.state is SnapshotState.PENDING:
        key = snapshot.disk_id if snapshot.content_id is None else _copy_key(snapshot)
    return Job(
        id=job_id,
        key=key,
        region=snapshot.region,
        created_ms=now_ms,
        # A copy is in no engine.
        zone=snapshot.disk_zone if snapshot.content_id is None else "",
        arguments=DeleteSnapshot(snapshot=snapshot.id, disk=snapshot.disk_id),
    )


def expiry(
    snapshots: Sequence[DiskSnapshot], job_id: str, now_ms: int, *, soon: bool = False
) -> Job:
    """The job that removes stored snapshots, of disks of one zone, from the vault together.

    `soon`: with a collection right after that, as for those that somebody deletes.
    """
    return Job(
        id=job_id,
        key=f"expire {snapshots[0].disk_id}",
        region=snapshots[0].region,
        created_ms=now_ms,
        zone=snapshots[0].disk_zone,
        arguments=ExpireSnapshots(
            snapshots=tuple(one.id for one in snapshots),
            disks=tuple(one.disk_id for one in snapshots),
            soon=soon,
        ),
    )


def _copy_key(snapshot: DiskSnapshot) -> str:
    """In line: each copy of a disk into a region finds the one before it."""
    return f"copy {snapshot.region} {snapshot.disk_id}"
