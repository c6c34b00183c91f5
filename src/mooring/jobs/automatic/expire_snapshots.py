"""Deleting automatic snapshots that no rhythm keeps any more, many at once.

They are gone from the catalog. Then:

    delete    remove the roots from the vault, and have the vault collected before long

Those that are being copied or exported, or from which a disk is filled, are left to a deletion of
their own, which waits (delete_snapshot.py). A collection takes its time, however little there is
to collect: what expires shares one, which also takes what was deleted otherwise.
"""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.jobs.keep_vault import enqueue
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CollectVault, DeleteSnapshot, ExpireSnapshots
from mooring.model.resources.job_kind import JobKind

COLLECT_SECONDS = 600.0
"""How long a collection waits, at most, for others to expire."""


def delete(work: Work) -> Change:
    """Remove the roots of those that nobody reads."""
    expired = work.given(ExpireSnapshots)
    with work.catalog.read() as transaction:
        # Nobody begins to read what the catalog does not have any more.
        read = [one for one in expired.snapshots if transaction.jobs.is_read(one)]
    work.vault.delete_all([one for one in expired.snapshots if one not in read])

    def change(transaction: Transaction) -> None:
        for one in read:
            transaction.jobs.add(_deletion(work, one))
        enqueue(
            transaction,
            work.backend,
            CollectVault(),
            work.job.region,
            after_seconds=0 if expired.soon else COLLECT_SECONDS,
        )

    return change


def _deletion(work: Work, snapshot: str) -> Job:
    expired = work.given(ExpireSnapshots)
    disk = expired.disks[expired.snapshots.index(snapshot)]
    return Job(
        id=work.backend.ids.new_id(),
        key=snapshot,
        region=work.job.region,
        created_ms=work.backend.clock.now_ms(),
        zone=work.job.zone,
        server=work.job.server,
        arguments=DeleteSnapshot(snapshot=snapshot, disk=disk),
    )


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The snapshots are gone from the catalog already."""


EXPIRE = Procedure(JobKind.EXPIRE_SNAPSHOTS, (Step("delete", delete),), nothing_to_tell)
