"""Deleting a snapshot, and giving back the room that it took.

DeleteDiskSnapshot answers when the snapshot is gone from the catalog. Then:

    release   wait until no disk is being filled from it; let go of a frozen point that may be left
    delete    remove the root from the vault, and see to it that the vault is collected soon

Several deletions share one collection: it is a job of its own, keyed by the region.
"""

from __future__ import annotations

from mooring.catalog.database import Transaction
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.procedure import Change, Procedure, Step, Work
from mooring.model.errors import PostponedError
from mooring.model.job import Job, JobKind


def release(work: Work) -> None:
    """Let go of the frozen point, once nobody needs the snapshot."""
    snapshot_id = work.argument("snapshot")
    with work.catalog.read() as transaction:
        jobs = transaction.jobs.of_kind(JobKind.CLONE_DISK)
        jobs += transaction.jobs.of_kind(JobKind.FILL_DISK)
        instances = transaction.jobs.of_kind(JobKind.RESTORE_INSTANCE)
    needed = {job.arguments["snapshot"] for job in jobs}
    for job in instances:
        needed.update(job.arguments["snapshots"].split(","))
    if snapshot_id in needed:
        raise PostponedError("a disk is being filled from the snapshot")
    # A recovered snapshot may be of a zone that is no more.
    if work.argument("zone") in work.tools.engines:
        work.engine.release(work.argument("disk"), snapshot_id, stored=False)


def delete(work: Work) -> Change:
    """Remove the root."""
    work.vault.delete(work.argument("snapshot"))

    def change(transaction: Transaction) -> None:
        enqueue(transaction, work.tools, JobKind.COLLECT_VAULT, work.job.region)

    return change


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The snapshot is gone from the catalog already."""


DELETE = Procedure(
    JobKind.DELETE_SNAPSHOT, (Step("release", release), Step("delete", delete)), nothing_to_tell
)
