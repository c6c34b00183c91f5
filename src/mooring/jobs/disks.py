"""Making a disk, of zeros or from a snapshot; deleting one.

CreateDisk and CreateDiskFromSnapshot answer while the disk is `pending`. Then:

    create   the engine makes the base and its first layer          undo: delete them
    clone    the same, with the snapshot below it                   undo: delete them

and in the transaction that records this the disk becomes `available` and the operation
Succeeded. If it fails, the disk stays in `error` until somebody deletes it. A separate job copies
the snapshot's content into the disk: fill_disk.py. A disk that was made before, and that the
catalog lost, is only recorded, and never deleted (backend/made_before.py).

DeleteDisk answers when the disk is gone from the catalog. Its job has the disk's id as key,
so it queues behind the uploads of the disk's pending snapshots: none of them loses its
frozen point. A disk that was moved to another host has one where it was (live/move_disks.py).
"""

from __future__ import annotations

from mooring.backend.made_before import made_before
from mooring.backend.sources import source_of
from mooring.catalog.transaction import Transaction
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.disk_description import describes
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CloneDisk, OfDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.sizes import size_in_bytes


def create(work: Work) -> Change:
    """Make a disk of zeros."""
    disk = work.disk()
    if not made_before(work.engine, [disk.id]):
        work.engine.create(disk.id, size_in_bytes(disk.size_gb))
    return lambda transaction: _available(work, transaction, disk)


def clone(work: Work) -> Change:
    """Make a disk with a snapshot's content, which is still in the vault."""
    disk = work.disk()
    reads: str | None = work.given(CloneDisk).snapshot
    if made_before(work.engine, [disk.id]):
        left = work.engine.filling(disk.id)
        reads = None if left is None else left.snapshot_id
    else:
        work.backend.server(disk.region).ensure()
        source = source_of(work.backend, disk.region, work.given(CloneDisk).snapshot)
        work.engine.begin_clone(disk.id, size_in_bytes(disk.size_gb), source)

    def change(transaction: Transaction) -> None:
        _available(work, transaction, disk)
        if reads is not None:
            transaction.jobs.add(fill_job(work.backend, disk, reads))

    return change


def unmake(work: Work) -> None:
    """Leave nothing of a disk that could not be made."""
    if not made_before(work.engine, [work.given(OfDisk).disk]):
        delete(work)


def remove(work: Work) -> None:
    """Remove the disk's files, which it has here no more: it was deleted, or moved."""
    with work.catalog.read() as transaction:
        disk = transaction.disks.by_id(work.given(OfDisk).disk)
    if disk is None or (disk.host != work.backend.host and not work.engine.shared):
        delete(work)


def delete(work: Work) -> None:
    """Remove the disk's files."""
    work.engine.delete(work.given(OfDisk).disk)


def failed(transaction: Transaction, job: Job) -> None:
    """The disk could not be made."""
    disk = transaction.disks.by_id(job.given(OfDisk).disk)
    if disk is not None and disk.state is DiskState.PENDING:
        transaction.disks.change(disk.id, state=DiskState.ERROR)


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The disk is gone from the catalog already."""


def _available(work: Work, transaction: Transaction, disk: Disk) -> None:
    found = transaction.disks.by_id(disk.id)
    # One that was made before may have been entered as it is by now, attached perhaps.
    known = found is not None and describes(found)
    made = {} if known else {"state": DiskState.AVAILABLE}
    # When it was asked for, no host may have been up.
    transaction.disks.change(disk.id, host=work.backend.host, **made)


CREATE = Procedure(JobKind.CREATE_DISK, (Step("create", create, unmake),), failed)
CLONE = Procedure(JobKind.CLONE_DISK, (Step("clone", clone, unmake),), failed)
DELETE = Procedure(JobKind.DELETE_DISK, (Step("delete", remove),), nothing_to_tell)
