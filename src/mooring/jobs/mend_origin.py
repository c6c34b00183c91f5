"""Recording what a disk reads from, where an earlier version recorded another snapshot.

A disk that was forked while it was reverted could be recorded as made from the snapshot of before
the revert, although its base is read from the other: it was never filled, and the snapshot could be
deleted below it. The layers are right. Only disks that are not filled can be so, because nothing
is filled from another snapshot than the layers name.
"""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.jobs.fill_disk import fill_job
from mooring.model.errors import EngineError

log = structlog.get_logger("mooring.jobs")


def mend_origin(backend: Backend, disk_id: str, zone: str) -> bool:
    """Have the disk filled from what it reads; whether that had to be recorded."""
    try:
        left = backend.engines[zone].filling(disk_id)
    except EngineError as error:
        log.warning("it is not known what a disk reads from", disk=disk_id, error=str(error))
        return False
    if left is None or left.snapshot_id is None:
        return False
    with backend.catalog.read() as transaction:
        disk = transaction.disks.by_id(disk_id)
    if disk is None or disk.origin_id == left.snapshot_id:
        return False
    with backend.catalog.write() as transaction:
        disk = transaction.disks.by_id(disk_id)
        if disk is None:
            return False
        transaction.disks.set_origin(disk.id, left.snapshot_id, disk.ancestors)
        transaction.jobs.add(fill_job(backend, disk, left.snapshot_id))
    log.warning(
        "a disk was recorded with another snapshot than it reads from",
        disk=disk.id,
        recorded=disk.origin_id,
        reads=left.snapshot_id,
    )
    return True
