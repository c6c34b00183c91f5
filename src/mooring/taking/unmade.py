"""Forgets what was to be made in one piece, and was not."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.catalog.transaction import Transaction
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ForkDisk, RestoreInstance
from mooring.model.resources.job_kind import JobKind
from mooring.taking import forking


def forget_forks(transaction: Transaction, job: Job) -> Sequence[str]:
    """Forks that were not confirmed, with their instance: nobody was told of them.

    `job` is that of one; returns the ids of their disks, whose files may be there.
    """
    held = transaction.jobs.of_kind(JobKind.FORK_DISK)
    together = [one for one in held if one.waited_for == job.waited_for]
    forking.forget(transaction, together)
    return [one.given(ForkDisk).disk for one in together]


def forget_instance(transaction: Transaction, given: RestoreInstance) -> None:
    """An instance could not be made with its disks: its name and those of its disks are free."""
    instance = transaction.instances.by_id(given.instance)
    if instance is None:
        return
    for disk in transaction.disks.of_instance(instance.id):
        transaction.disks.remove(disk)
    transaction.auto_runs.remove(instance.id)
    transaction.instances.remove(instance)
