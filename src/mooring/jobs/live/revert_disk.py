"""Keeping what a reverted disk needs until what it held before is stored.

`mooring revert` answers when the disk holds the snapshot. Then:

    wait   until nobody needs what the disk held before

Snapshots of before the revert are stored by their own jobs, and the disk is filled by another. But
what it held before may be read from a snapshot, too, if the disk was not filled yet: while this job
is there, that one is not deleted from the vault, and its server is kept running. So it goes on
for a disk that was deleted, whose files wait for the same.
"""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.jobs.running import retry
from mooring.jobs.running.procedure import Procedure, Step, Work
from mooring.model.errors import EngineError, PostponedError
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import RevertDisk
from mooring.model.resources.job_kind import JobKind

AGAIN_SECONDS = 15.0
"""When the job looks again."""


def wait(work: Work) -> None:
    """Wait until the past is gone."""
    try:
        past = work.engine.past(work.given(RevertDisk).disk)
    except retry.AWAY:
        raise  # what its snapshots are needed for is there, though not now
    except EngineError:
        return  # the disk was deleted, and its files are gone
    if past is not None and past.points:
        raise PostponedError("what the disk held before is still being stored", AGAIN_SECONDS)


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The disk was deleted."""


REVERT = Procedure(JobKind.REVERT_DISK, (Step("wait", wait),), nothing_to_tell)
