"""Letting a fork do without the disk that it was made of.

`mooring fork` answers when the fork can be used. Then:

    stand alone   copy the layers that it shares with the other disk, if it shares any; release
                  the points that it has from there, and the one that was frozen for it there

The fork is used, snapshotted, attached and detached meanwhile, so the job has a key of its own. It
never fails for good, because then both disks would hold layers for ever: it is put off, and goes
on where it was. It ends early if the fork is deleted.
"""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Filling
from mooring.jobs.running.procedure import Procedure, Step, Work
from mooring.jobs.running.progress import Progress
from mooring.model.errors import CanceledError, MooringError, PostponedError, RevertedError
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ForkDisk
from mooring.model.resources.job_kind import JobKind

AGAIN_SECONDS = 15.0
"""When copying that failed goes on."""

FIRST_SECONDS = 3.0
"""How long nothing is merged: whoever has made a fork attaches it and reads from it first.

Merging takes a processor for as long as the disk is large, in the daemons of both disks.
"""

log = structlog.get_logger("mooring.jobs")


def standing_alone(backend: Backend, disk: Disk) -> Job:
    """The job of a fork of which nobody knows any more what it was made of."""
    return Job(
        id=backend.ids.new_id(),
        key=f"fork {disk.id}",
        region=disk.region,
        zone=disk.zone,
        created_ms=backend.clock.now_ms(),
        arguments=ForkDisk(disk=disk.id, source="", point=""),
    )


def stand_alone(work: Work) -> None:
    """Copy what is shared, and release what came with it."""
    try:
        disk = work.disk()
        _copy(work, disk)
        _release(work, disk)
    except CanceledError:
        # The fork was deleted: nothing of it holds up merges of the disk that it was made of.
        _release_at_source(work)
        raise


def _copy(work: Work, disk: Disk) -> None:
    def still_wanted(_percent: int) -> None:
        work.disk()

    def tell(filling: Filling) -> None:
        progress.reached(filling.done)

    try:
        filling = work.engine.filling(disk.id)
        total = filling.total if filling else 0
        progress = Progress(work, total, still_wanted)
        work.engine.stand_alone(disk.id, tell)
    except (CanceledError, PostponedError):
        raise
    except RevertedError as error:
        raise PostponedError(str(error)) from error
    except MooringError as error:
        work.disk()
        log.warning("a fork is copied later", disk=disk.id, error=str(error))
        raise PostponedError(str(error), AGAIN_SECONDS) from error


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The fork was deleted."""


def _release(work: Work, disk: Disk) -> None:
    """Let points go that are no snapshots of its own; changes are counted from those stored."""
    given = work.given(ForkDisk)
    # First: whatever a request freezes it has recorded before.
    points = work.engine.points(disk.id)
    with work.catalog.read() as transaction:
        kept = transaction.snapshots.by_id(given.snapshot) if given.snapshot else None
        found = [(point, transaction.snapshots.by_id(point)) for point in points]
        forks = [job.given(ForkDisk) for job in transaction.jobs.of_kind(JobKind.FORK_DISK)]
    if kept is not None and kept.is_pending:
        # Once it is stored, the fork's own snapshots build on it.
        raise PostponedError(f"the snapshot {kept.name} is being stored")
    age = (work.backend.clock.now_ms() - work.job.created_ms) / 1000
    if 0 <= age < FIRST_SECONDS:
        raise PostponedError("the fork has just been made", FIRST_SECONDS - age)
    _release_at_source(work)
    # Of this disk forks may just be made, whose own jobs release what was frozen for them.
    forked = {one.point for one in forks if one.source == disk.id}
    for point, snapshot in found:
        if point not in forked and (snapshot is None or snapshot.disk_id != disk.id):
            work.engine.release(disk.id, point, stored=work.vault.has(point))


def _release_at_source(work: Work) -> None:
    """Let the point go that was frozen for the fork alone."""
    given = work.given(ForkDisk)
    # Without a catalog nobody knows it: the start has released what no snapshot needs.
    if given.point and not given.snapshot:
        work.engine.release(given.source, given.point, stored=False)


FORK = Procedure(JobKind.FORK_DISK, (Step("stand alone", stand_alone),), nothing_to_tell)
