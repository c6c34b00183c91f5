"""Forgets what was to be made in one piece, and was not."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.catalog.transaction import Transaction
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ForkDisk
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
