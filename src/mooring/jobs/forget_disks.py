"""What a starting server does about disks in memory, which went with the last one.

A catalog that is kept would go on telling of them. So the disks are forgotten, with their automatic
snapshots, as if they had been deleted; what was under way with them fails. Snapshots that are
stored, and instances, stay.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import OfDisk, OfSnapshot
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import recording

OF_DISKS = frozenset(
    {
        JobKind.CREATE_DISK,
        JobKind.CLONE_DISK,
        JobKind.FILL_DISK,
        JobKind.GROW_DISK,
        JobKind.FORK_DISK,
        JobKind.REVERT_DISK,
        JobKind.DELETE_DISK,
        JobKind.ATTACH_DISK,
        JobKind.DETACH_DISK,
        JobKind.FREEZE,
        JobKind.UPLOAD_SNAPSHOT,
    }
)
"""What cannot be done without the disk."""

AT_ONCE = 500
"""Disks forgotten in one transaction."""

CODE, REASON = "Forgotten", "The disk was in memory, and went with the server that had it."

log = structlog.get_logger("mooring.jobs")


def forget_disks(backend: Backend) -> None:
    """Forget the disks of this host that their engines do not have."""
    gone = [disk for zone in backend.engines for disk in _gone(backend, zone)]
    if not gone:
        return
    ids = {disk.id for disk in gone}
    with backend.catalog.write() as transaction:
        for job in transaction.jobs.of_kinds(OF_DISKS):
            # What was not answered is taken back by recover.py.
            if not job.is_held and not ids.isdisjoint(_disks(transaction, job)):
                _fail(transaction, job, backend.clock.now_ms())
    for start in range(0, len(gone), AT_ONCE):
        with backend.catalog.write() as transaction:
            for disk in gone[start : start + AT_ONCE]:
                _forget(backend, transaction, disk)
    log.warning("disks were in memory, and went with the last server", disks=len(gone))


def _gone(backend: Backend, zone: str) -> Iterator[Disk]:
    after: int | None = 0
    while after is not None:
        with backend.catalog.read() as transaction:
            found, after = transaction.disks.in_zone(zone, after, AT_ONCE)
        here = [one for one in found if backend.has(one)]
        yield from (one for one in here if backend.engines[zone].health(one.id).damaged)


def _disks(transaction: Transaction, job: Job) -> list[str]:
    """The ids of the disks that the job is of."""
    if not isinstance(job.arguments, OfSnapshot):
        return [job.given(OfDisk).disk]
    snapshot = transaction.snapshot(job.arguments.snapshot)
    return [] if snapshot is None else [one.disk_id for one in snapshot.members]


def _fail(transaction: Transaction, job: Job, now_ms: int) -> None:
    transaction.operations.finish(job.waited_for, now_ms, CODE, REASON)
    transaction.jobs.remove(job)
    if isinstance(job.arguments, OfSnapshot):
        snapshot = transaction.snapshot(job.arguments.snapshot)
        for one in () if snapshot is None else snapshot.members:
            transaction.snapshots.change_if_there(one.id, state=SnapshotState.ERROR)


def _forget(backend: Backend, transaction: Transaction, disk: Disk) -> None:
    transaction.auto_runs.remove(disk.id)
    transaction.auto_failures.remove(disk.id)
    taken = transaction.automatic_of(disk.id)
    recording.discard_automatic(transaction, taken, backend.ids, backend.clock.now_ms())
    transaction.disks.remove(disk)
