"""Making a disk larger, in use or not.

    grow   the engine makes it larger, and then its block device, if it has one on this host

and in the transaction that records this the disk has its new size. Growths of one disk stand in
a line of their own, so that none waits for a snapshot to be stored, or the disk to be filled.
There is no undo: a disk cannot shrink. The engine changes nothing if it fails, and a disk whose
growth was not recorded is larger than it says, until the growth is asked for again. A snapshot
taken between the two has the size that the disk had then (upload_snapshot.py).
"""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import GrowDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.sizes import size_in_bytes


def grow(work: Work) -> Change:
    """Make the disk larger."""
    given = work.given(GrowDisk)
    disk = work.disk()
    size = size_in_bytes(given.size_gb)
    work.engine.grow(disk.id, size)
    work.backend.devices.grow(disk.id, size)

    def change(transaction: Transaction) -> None:
        known = transaction.disks.by_id(disk.id)
        # Just now it may have been reverted to a larger snapshot.
        reached = 0 if known is None else known.size_gb
        transaction.disks.change(disk.id, size_gb=max(reached, given.size_gb))

    return change


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The disk has the size that it had."""


GROW = Procedure(JobKind.GROW_DISK, (Step("grow", grow),), nothing_to_tell)
