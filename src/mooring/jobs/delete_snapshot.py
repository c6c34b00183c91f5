"""Deleting a snapshot, and reclaiming the space that it took.

DeleteDiskSnapshot answers when the snapshot is gone from the catalog. Then:

    release   wait until it is not being copied or exported and no disk is filled from it; release
              its frozen point, if there still is one
    delete    remove the root from the vault, and have the vault collected soon

Several deletions share one collection, a separate job keyed by the region.
"""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.errors import PostponedError
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CollectVault, DeleteSnapshot
from mooring.model.resources.job_kind import JobKind


def release(work: Work) -> None:
    """Release the frozen point, once nobody needs the snapshot."""
    snapshot_id = work.given(DeleteSnapshot).snapshot
    with work.catalog.read() as transaction:
        read = transaction.jobs.is_read(snapshot_id)
    if read:
        raise PostponedError("the snapshot is being copied or exported, or a disk filled from it")
    # A copy has no zone; a recovered snapshot may be of one that is no more.
    if work.job.zone in work.backend.engines:
        work.engine.release(work.given(DeleteSnapshot).disk, snapshot_id, stored=False)


def delete(work: Work) -> Change:
    """Remove the root."""
    work.vault.delete(work.given(DeleteSnapshot).snapshot)

    def change(transaction: Transaction) -> None:
        enqueue(transaction, work.backend, CollectVault(), work.job.region)

    return change


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The snapshot is gone from the catalog already."""


DELETE = Procedure(
    JobKind.DELETE_SNAPSHOT, (Step("release", release), Step("delete", delete)), nothing_to_tell
)
