"""Storing a frozen point in the vault: what makes a pending snapshot completed.

CreateDiskSnapshot answers as soon as the disk's content is fixed. The job has the disk's id as
key, so the snapshots of one disk are stored in the order in which they were taken, and each
finds the one before it as its parent.

    store     read what changed since the parent, write it to the vault, the root last; then
              release the point as stored: the engine merges its layers into the base
              undo: delete the root, release the point

With that the snapshot becomes `completed`. Killed before the root is durable, the job starts over,
and what it had written is collected; killed after, it finds the root and continues. It is one
step, because recording a step waits for the disk, and makes readers of the catalog wait.

The parent is the newest completed snapshot from which the engine can still count the changes.
If there is none, everything is read and compared with the newest completed snapshot at hand, of
the disk, of what it was made from, or of those that it is a fork of: that costs time, but stores
nothing twice and cannot be wrong.

What a disk held before it was reverted is nowhere else, so storing it never fails for good: it is
put off and tried again, until somebody deletes the snapshot.

A snapshot deleted while pending is noticed when progress is next recorded.

CreateInstanceSnapshot starts one such job for each attached disk; their roots also describe the
whole, so that it can be recovered without a catalog.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import structlog

from mooring.catalog.transaction import Transaction
from mooring.engine.interface import FrozenImage
from mooring.jobs.automatic import outcomes
from mooring.jobs.automatic.retention import expire_after
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.jobs.storing import (
    Plan,
    begin,
    commit,
    completed,
    copy,
    extra_of_part,
    information,
    pending_snapshot,
)
from mooring.model.errors import (
    CanceledError,
    EngineError,
    LineageLostError,
    MooringError,
    PointNotFoundError,
    PostponedError,
    SnapshotNotInVaultError,
)
from mooring.model.extents import BLOCK_SIZE, GIB, with_gaps
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import UploadSnapshot
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.observe import metrics

if TYPE_CHECKING:
    from mooring.vault.vault import Root

AGAIN_SECONDS = 15.0
"""When storing goes on that failed and must not be given up."""

FEW = 1000
"""Ranges of changes that are remembered while they are stored; of more the disk is asked again."""

log = structlog.get_logger("mooring.jobs")


def store(work: Work) -> Change:
    """Write the frozen point to the vault, and let its layers merge."""
    try:
        return _store(work)
    except (CanceledError, PostponedError):
        raise
    except (MooringError, OSError) as error:
        if not _only_here(work):
            raise
        log.warning(
            "what a disk held before it was reverted is stored later",
            snapshot=work.given(UploadSnapshot).snapshot,
            error=str(error),
        )
        raise PostponedError(str(error), AGAIN_SECONDS) from error


def _only_here(work: Work) -> bool:
    """Whether nothing else has what is to be stored: the disk was reverted since."""
    given = work.given(UploadSnapshot)
    try:
        past = work.engine.past(given.disk)
    except EngineError:
        return False
    return past is not None and given.snapshot in past.points


def _store(work: Work) -> Change:
    snapshot = pending_snapshot(work)
    # Whoever is the first to take the job has left no root: in a bucket that is one request less.
    root = work.vault.confirm(snapshot.id) if work.job.generation > 1 else None
    if root is None:
        root = _write(work, snapshot)
    work.engine.release(snapshot.disk_id, snapshot.id, stored=True)
    statistics, parent = root.statistics, root.parent
    changed_bytes = statistics.changed_blocks * BLOCK_SIZE
    metrics.snapshot_stored(changed_bytes, statistics.stored_bytes)

    def change(transaction: Transaction) -> None:
        kept = transaction.snapshots.change_if_there(
            snapshot.id,
            parent_id=parent,
            # The disk may have been larger than the catalog knew yet.
            size_gb=root.info.size // GIB,
            changed_bytes=changed_bytes,
            stored_bytes=statistics.stored_bytes,
            **completed(work),
        )
        if kept:
            expire_after(work.backend, transaction, snapshot)

    return change


def _write(work: Work, snapshot: DiskSnapshot) -> Root:
    try:
        image = work.engine.open_point(snapshot.disk_id, snapshot.id)
    except PointNotFoundError:
        # After a power cut the catalog may not know that the job was taken before: what has no
        # point any more may be stored.
        if (root := work.vault.confirm(snapshot.id)) is None:
            raise
        return root
    try:
        plan = _plan(work, snapshot, image)
        auto = snapshot.auto
        extra = extra_of_part(work, snapshot) if auto is None else {"auto": auto}
        info = information(snapshot, image.size, extra)
        with begin(work, info, plan) as writer:
            copy(work, image, plan, writer)
            return commit(work, writer)
    finally:
        image.close()


def undo_store(work: Work) -> None:
    """Leave nothing in the vault, and let the engine forget the point."""
    given = work.given(UploadSnapshot)
    work.vault.delete(given.snapshot)
    work.engine.release(given.disk, given.snapshot, stored=False)


def failed(transaction: Transaction, job: Job) -> None:
    """The snapshot could not be stored."""
    transaction.snapshots.change_if_there(
        job.given(UploadSnapshot).snapshot, state=SnapshotState.ERROR
    )
    outcomes.not_stored(transaction, job)


def _plan(work: Work, snapshot: DiskSnapshot, image: FrozenImage) -> Plan:
    known = work.engine.points(snapshot.disk_id)
    ancestors = _ancestors(work, snapshot, known)
    # A fork knows points of the disk that it was made of, too.
    for ancestor in dict.fromkeys([*ancestors, *reversed(known)]):
        if ancestor != snapshot.id and work.vault.has(ancestor):
            try:
                few = list(islice(image.changes(ancestor), FEW + 1))
            except LineageLostError:
                continue  # it may be of before the disk was reverted
            changes = partial(image.changes, ancestor) if len(few) > FEW else partial(iter, few)
            return Plan(changes, ancestor, compare=False, consolidate=True)
    candidates = chain(_ancestors(work, snapshot), _cousins(work, snapshot))
    nearest = next((one for one in candidates if _fits(work, one, image.size)), None)
    if nearest is None:
        return Plan(image.extents, None, compare=False)
    # What the disk leaves out reads as zeros; the parent may hold data there.
    return Plan(lambda: with_gaps(image.extents(), image.size), nearest, compare=True)


def _fits(work: Work, ancestor: str, size: int) -> bool:
    """Whether the vault has the snapshot, and it is no larger than that.

    A fork may have been reverted to a larger one of the first disk since.
    """
    try:
        return work.vault.has(ancestor) and work.vault.root(ancestor).info.size <= size
    except SnapshotNotInVaultError:
        return False  # it was deleted just now


def _ancestors(work: Work, snapshot: DiskSnapshot, among: Sequence[str] | None = None) -> list[str]:
    """Completed snapshots that the disk's content comes from, the newest first.

    All of them, of which a disk may have thousands, or those `among` some ids.
    """
    with work.catalog.read() as transaction:
        # A copy holds what an older snapshot holds, so it comes last, for want of anything better.
        ids = transaction.snapshots.stored_of_disk(snapshot.disk_id, among)
        disk = transaction.disks.by_id(snapshot.disk_id)
    origin = None if disk is None else disk.origin_id
    if origin is not None and (among is None or origin in among):
        ids.append(origin)
    return ids


def _cousins(work: Work, snapshot: DiskSnapshot) -> Iterator[str]:
    """Completed snapshots of the disks that this one descends from, its nearest relatives first.

    What a fork counts from may be gone before its first snapshot: a rhythm of seconds keeps
    snapshots for minutes. Those that were taken since hold nearly the same.
    """
    with work.catalog.read() as transaction:
        disk = transaction.disks.by_id(snapshot.disk_id)
        if disk is None:
            return
        found = [transaction.snapshots.stored_near(one, disk.created_ms) for one in disk.ancestors]
    yield from chain.from_iterable(found)


UPLOAD = Procedure(JobKind.UPLOAD_SNAPSHOT, (Step("store", store, undo_store),), failed)
