"""What a region's jobs do: how far, how fast, and what holds them up."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import OfDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.context import Context
from mooring.service.overview.going import percent, speed
from mooring.service.own.own_request import Answer

MOST = 200
"""Jobs that are told one by one; more are counted."""

_QUIET = frozenset({JobKind.FREEZE})
"""Jobs that only wait for their moment."""


def work_of(backend: Backend, transaction: Transaction, context: Context) -> Answer:
    """The region's jobs, as far as they are the caller's, oldest first, and how many there are."""
    jobs = [
        one
        for one in transaction.jobs.all()
        if one.region == context.region and one.kind not in _QUIET
    ]
    told: list[Answer] = []
    for job in jobs:
        disk, snapshot = _of(transaction, job)
        if context.access.tags and not _reaches(context, disk, snapshot):
            continue
        if len(told) < MOST:
            told.append(_told(backend, job, disk, snapshot))
    return {"jobs": told, "count": len(jobs) if not context.access.tags else len(told)}


def _of(transaction: Transaction, job: Job) -> tuple[Disk | None, DiskSnapshot | None]:
    """The disk and the snapshot that a job is about."""
    snapshot = transaction.snapshots.by_id(job.id)
    disk = None
    if isinstance(job.arguments, OfDisk):
        disk = transaction.disks.by_id(job.arguments.disk)
    if snapshot is None and (named := getattr(job.arguments, "snapshot", None)) is not None:
        snapshot = transaction.snapshots.by_id(str(named))
    return disk, snapshot


def _reaches(context: Context, disk: Disk | None, snapshot: DiskSnapshot | None) -> bool:
    found = [one.tags for one in (disk, snapshot) if one is not None]
    return bool(found) and all(map(context.access.reaches, found))


def _told(backend: Backend, job: Job, disk: Disk | None, snapshot: DiskSnapshot | None) -> Answer:
    pace = backend.meter.pace(job.id)
    known = snapshot.progress if snapshot is not None and snapshot.is_pending else None
    return {
        "id": job.id,
        "kind": job.kind,
        "diskName": disk.name if disk is not None else None,
        "snapshotName": None if snapshot is None else snapshot.name,
        "ofDiskName": None if snapshot is None else snapshot.disk_name,
        "isPendingSnapshot": snapshot is not None and snapshot.is_pending and snapshot.has_name,
        "percent": percent(pace, known),
        **speed(pace),
        "createdAt": job.created_ms / 1000,
        "attempts": job.attempts,
        "isUndoing": job.undoing,
        "isHeld": job.is_held,
        "problem": job.error_details,
    }
