"""What runs now, how fast, and what failed lately."""

from __future__ import annotations

from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.meter import Pace
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ExportSnapshot, OfDisk, OfInstance, OfSnapshot

SHOWN = 20
"""Jobs, and failures, in an answer."""

FAILED_MS = 24 * 3_600_000
"""Failures are told for a day."""

LATEST = 5000
"""Operations among which failed ones are looked for: the newest."""

Told = dict[str, Any]


def jobs_told(backend: Backend, transaction: Transaction) -> Told:
    """The jobs that run, oldest first, and how many there are."""
    found = transaction.totals.jobs(SHOWN)
    return {
        "running": found.running,
        "waiting": found.waiting,
        "shown": [_job(backend, transaction, one) for one in found.some],
    }


def failures_told(backend: Backend, transaction: Transaction) -> list[Told]:
    """Operations that failed in the last day, newest first."""
    since = backend.clock.now_ms() - FAILED_MS
    return [
        {
            "at": one.changed_ms / 1000,
            "operation": one.type,
            "resource": one.resource_name,
            "region": one.region,
            "code": one.error_code,
            "problem": one.error_details,
        }
        for one in transaction.totals.failed(since, LATEST, SHOWN)
    ]


def _job(backend: Backend, transaction: Transaction, job: Job) -> Told:
    pace = backend.meter.pace(job.id)
    resource, per_cent = _resource(transaction, job)
    return {
        "kind": job.kind,
        "resource": resource,
        "region": job.region,
        "progress": percent(pace, per_cent),
        **speed(pace),
        "createdAt": job.created_ms / 1000,
        "problem": job.error_details,
    }


def percent(pace: Pace | None, otherwise: int | None) -> int | None:
    """How far a job is: by its meter, if it has told that anything; never done before its end."""
    return otherwise if pace is None else min(99, 100 * pace.done // pace.total)


def speed(pace: Pace | None) -> Told:
    """Bytes done and in all, bytes per second, and seconds left, as far as they are known."""
    return {
        "doneBytes": None if pace is None else pace.done,
        "totalBytes": None if pace is None else pace.total,
        "bytesPerSecond": None if pace is None or not pace.rate else round(pace.rate),
        "secondsLeft": None if pace is None else pace.seconds_left,
    }


def _resource(transaction: Transaction, job: Job) -> tuple[str | None, int | None]:
    """What a job is about, as people call it, and how many per cent the catalog knows of."""
    arguments = job.arguments
    if isinstance(arguments, OfSnapshot):
        snapshot = transaction.snapshot(arguments.snapshot)
        return (None, None) if snapshot is None else (snapshot.name, snapshot.progress)
    if isinstance(arguments, OfDisk):
        disk = transaction.disks.by_id(arguments.disk)
        return None if disk is None else disk.name, None
    if isinstance(arguments, OfInstance):
        instance = transaction.instances.by_id(arguments.instance)
        return None if instance is None else instance.name, None
    if isinstance(arguments, ExportSnapshot):
        record = transaction.export_records.by_id(arguments.record)
        return (None, None) if record is None else (record.source_name, record.progress)
    return None, None
