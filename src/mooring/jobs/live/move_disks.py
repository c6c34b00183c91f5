"""Moving disks to this host, each from a snapshot of it in the vault.

Whoever asked for it has fixed what the disks hold, on the host that they are on, and nothing else
happens to them meanwhile; or their host is lost, and the snapshots are the newest there are. The
job is run by the host that they come to:

    store   wait until the snapshots are stored, or the other host has done with the disks; and
            until what this host had of them at a former time is removed
    make    the engine makes each disk, with its snapshot below it        undo: delete them

and in the transaction that records this the disks are here, all of an instance or none, and the
host that they were on removes what it has of them. A lost one does not: what lies there may be
newer than the snapshots. If it fails, all is as it was.

Where both hosts reach the layers, as in a Ceph cluster, the disks stay as they are, and are moved
by no snapshot: only who has them is recorded, once the host that they were on has done with them,
or, if it is lost, has been shut out.

A lost host may come back before that. Then it serves the disks, and they are left to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from mooring.backend.made_before import descends
from mooring.backend.sources import source_of
from mooring.catalog.transaction import Transaction
from mooring.host.rooms import DISKS, of_zone
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.mend_origin import mend_origin
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.errors import CanceledError, MooringError, PostponedError
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import HOST_TAG, HostState, SeenHost
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import (
    DeleteDisk,
    MoveDisks,
    OfDisk,
    OfInstance,
    StartInstance,
)
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.model.sizes import size_in_bytes
from mooring.taking import leaving, moving
from mooring.taking.reverting import ancestors_of, settle_left

_READING = (JobKind.FILL_DISK, JobKind.REVERT_DISK)

AGAIN_SECONDS = 0.5
"""How often it is looked whether the snapshots are stored, or the disks are at rest."""

log = structlog.get_logger("mooring.jobs")


def store(work: Work) -> None:
    """Wait for the snapshots, or for the host that the disks are on."""
    given = work.given(MoveDisks)
    _await_removal(work)
    if not given.snapshots and not _is_lost(work):
        _await_rest(work)
    for snapshot_id in given.snapshots:
        with work.catalog.read() as transaction:
            snapshot = transaction.snapshots.by_id(snapshot_id)
        if snapshot is None:
            raise CanceledError(f"the snapshot {snapshot_id} to move by was not taken, or deleted")
        if snapshot.state is SnapshotState.PENDING:
            told = f"the snapshot {snapshot.name} is being stored: {snapshot.progress} %"
            raise PostponedError(told, AGAIN_SECONDS)
        if snapshot.state is not SnapshotState.COMPLETED:
            raise CanceledError(f"the snapshot {snapshot.name} to move by could not be stored")


def _is_lost(work: Work) -> bool:
    """Whether the host that the disks are on is; perhaps only since it was asked for the move.

    Raises CanceledError if it was, and is not any more. The catalog is asked: of a host that lives
    nothing is taken over, nor is it shut out.
    """
    with work.catalog.read() as transaction:
        seen = _source(work, transaction)
    return _counts_as_lost(work, seen)


def _counts_as_lost(work: Work, seen: SeenHost | None) -> bool:
    """As `_is_lost`, of a host that was just read."""
    _check_lost(work, seen)
    return work.given(MoveDisks).lost or (seen is not None and seen.state is HostState.FENCED)


def _source(work: Work, transaction: Transaction) -> SeenHost | None:
    return transaction.hosts.by_id(work.given(MoveDisks).source, work.backend.clock.now_ms())


def _check_lost(work: Work, seen: SeenHost | None) -> None:
    """Raise CanceledError if disks are to be restored whose host is back.

    One that lives, but is shut out of them until its server is started again, is not.
    """
    given = work.given(MoveDisks)
    if not given.lost or seen is None or seen.state is HostState.FENCED:
        return
    if not work.engine.shared or not work.engine.is_shut_out(given.source):
        raise CanceledError(
            f"the host {seen.host.name} is back, with what it had, so nothing is restored"
        )


def _await_removal(work: Work) -> None:
    """Wait until nothing is to be removed here any more of when the disks were here before."""
    with work.catalog.read() as transaction:
        jobs = transaction.jobs.of_server(work.backend.host)
    for job in jobs:
        given = job.arguments
        if isinstance(given, DeleteDisk) and given.disk in work.given(MoveDisks).disks:
            raise PostponedError("what this host had of the disk is removed first", AGAIN_SECONDS)


def _await_rest(work: Work) -> None:
    """Wait until the host that has the disks stores, fills, copies and merges nothing of them."""
    given = work.given(MoveDisks)
    with work.catalog.read() as transaction:
        awaited = leaving.awaited(transaction, given.disks, given.source)
    if awaited is not None:
        raise PostponedError(f"another job goes first: {awaited}", AGAIN_SECONDS)
    for disk_id in given.disks:
        _check_owner(work, disk_id)


def _check_owner(work: Work, disk_id: str) -> None:
    """Raise if a host has the disk's layers open."""
    if (owner := work.engine.owner(disk_id)) is None:
        return
    if _is_lost(work):
        raise CanceledError(f"the disk {disk_id} is in use on the host {owner}")
    told = f"the host {owner} has the disk {disk_id} open, perhaps to merge layers"
    raise PostponedError(told, AGAIN_SECONDS)


def make(work: Work) -> Change:
    """Make the disks here, of their snapshots in the vault."""
    if work.engine.shared:
        return _take_over(work)
    _is_lost(work)
    work.backend.rooms.check(DISKS, of_zone(work.job.zone))
    work.backend.server(work.job.region).ensure()
    for disk, snapshot_id in _pairs(work):
        if _came_before(work, disk.id, snapshot_id):
            continue
        source = source_of(work.backend, disk.region, snapshot_id)
        # What may be left of a former time here, or of a former try.
        work.engine.delete(disk.id)
        work.engine.begin_clone(disk.id, size_in_bytes(disk.size_gb), source)
    return lambda transaction: _arrived(work, transaction)


def _came_before(work: Work, disk_id: str, snapshot_id: str) -> bool:
    """Whether the disk came by this very move, which a catalog restored from a copy has yet to do.

    What is restored of a lost host may come of the same snapshot more than once.
    """
    return not work.given(MoveDisks).lost and descends(work.engine, disk_id, snapshot_id)


def _take_over(work: Work) -> Change:
    """The disks lie where this host reaches them, too, and stay as they are."""
    given = work.given(MoveDisks)
    with work.catalog.read() as transaction:
        seen = _source(work, transaction)
    if _counts_as_lost(work, seen) and (seen is None or seen.state is HostState.FENCED):
        # Again, for it may have been done by a server that does not reach the layers. One that is
        # awake is shut out already: it would be lost once more, with all that it serves.
        work.engine.fence(given.source)
    for disk_id in given.disks:
        _check_owner(work, disk_id)
        _read_here(work, disk_id)
        # A revert that its host did not live to record, or only in part.
        settle_left(work.backend, disk_id, given.source)
        mend_origin(work.backend, disk_id, work.job.zone)
        for point in work.engine.points(disk_id):
            with work.catalog.read() as transaction:
                snapshot = transaction.snapshots.by_id(point)
            if snapshot is None or not snapshot.is_pending:
                stored = snapshot is not None and snapshot.state is SnapshotState.COMPLETED
                work.engine.release(disk_id, point, stored=stored)
    return lambda transaction: _arrived(work, transaction)


def _read_here(work: Work, disk_id: str) -> None:
    """Have a disk that is not filled, or what it held before, read snapshots from this server."""
    with work.catalog.read() as transaction:
        disk = transaction.disks.by_id(disk_id)
        jobs = transaction.jobs.of_server(work.given(MoveDisks).source)
    if disk is None:
        raise CanceledError(f"the disk {disk_id} was deleted")
    reading = [job for job in jobs if job.kind in _READING and job.arguments.at == disk_id]
    past = {snapshot for job in reading for snapshot in job.arguments.reads}
    left = work.engine.filling(disk_id)
    present = None if left is None else left.snapshot_id
    if present is not None or past:
        work.backend.server(disk.region).ensure()
    size = size_in_bytes(disk.size_gb)
    if present is not None:
        work.engine.begin_clone(disk_id, size, source_of(work.backend, disk.region, present))
    for snapshot in sorted(past - {present}):
        try:
            work.engine.begin_clone(disk_id, size, source_of(work.backend, disk.region, snapshot))
        except MooringError as error:
            # As at a start: perhaps nothing reads it any more.
            log.warning("a disk cannot be read in full", disk=disk_id, error=str(error))


def unmake(work: Work) -> None:
    """Leave no disk behind."""
    if work.engine.shared:
        return
    given = work.given(MoveDisks)
    for disk_id, snapshot_id in zip(given.disks, given.snapshots, strict=True):
        with work.catalog.read() as transaction:
            disk = transaction.disks.by_id(disk_id)
        is_here = disk is not None and disk.host == work.backend.host
        if not is_here and not _came_before(work, disk_id, snapshot_id):
            work.engine.delete(disk_id)


def failed(transaction: Transaction, job: Job) -> None:
    """The disks are where they were."""
    moving.give_back(transaction, job)
    given = job.given(MoveDisks)
    source = transaction.hosts.by_id(given.source, job.created_ms)
    if given.start and source is not None and source.state is HostState.UP:
        # It may have started anew meanwhile, and not served what was on its way.
        transaction.jobs.add(
            Job(
                id=f"{job.id}-back",
                key=given.instance,
                region=job.region,
                zone=job.zone,
                server=given.source,
                created_ms=job.created_ms,
                arguments=StartInstance(instance=given.instance),
            )
        )


def _pairs(work: Work) -> Iterator[tuple[Disk, str]]:
    given = work.given(MoveDisks)
    for disk_id, snapshot_id in zip(given.disks, given.snapshots, strict=True):
        with work.catalog.read() as transaction:
            disk = transaction.disks.by_id(disk_id)
        if disk is None:
            raise CanceledError(f"the disk {disk_id} was deleted")
        _check_there(disk, given)
        yield disk, snapshot_id


def _check_there(moved: Disk | Instance, given: MoveDisks) -> None:
    if moved.host != given.source:
        raise CanceledError(f"{moved.name} is on another host by now")


def _arrived(work: Work, transaction: Transaction) -> None:
    """Record that the disks are here. Raises CanceledError."""
    given, host = work.given(MoveDisks), work.backend.host
    if given.lost:
        # It may be about to come back: either it finds what is elsewhere by then, or we find it.
        transaction.hosts.hold(given.source)
        _check_lost(work, _source(work, transaction))
    for number, disk_id in enumerate(given.disks):
        disk = transaction.disks.by_id(disk_id)
        if disk is None:
            raise CanceledError(f"the disk {disk_id} was deleted")
        _check_there(disk, given)
        transaction.disks.change(disk_id, host=host, **moving.settled(disk))
        _name_host(work, transaction, disk)
        if work.engine.shared:
            _bring_jobs(work, transaction, disk_id)
        else:
            _made_anew(work, transaction, disk, given.snapshots[number])
    instance = transaction.instances.by_id(given.instance) if given.instance else None
    if instance is None:
        return
    _check_there(instance, given)
    state = InstanceState.PENDING if given.start else InstanceState.STOPPED
    transaction.instances.change(instance.id, host=host, state=state.label)
    _name_host(work, transaction, instance)
    if given.start:
        _next(work, transaction, StartInstance(instance=instance.id), host)


def _bring_jobs(work: Work, transaction: Transaction, disk_id: str) -> None:
    """What the disk needs is done here from now on."""
    given, host = work.given(MoveDisks), work.backend.host
    if _counts_as_lost(work, _source(work, transaction)):
        leaving.hand_over(transaction, disk_id, given.source, host)
    elif leaving.awaited(transaction, [disk_id], given.source) or not leaving.hand_on(
        transaction, disk_id, given.source, host
    ):
        raise PostponedError("the host that has the disk has begun something again", AGAIN_SECONDS)


def _made_anew(work: Work, transaction: Transaction, disk: Disk, snapshot_id: str) -> None:
    """Record what a disk is filled from, and that nothing of it is needed where it was."""
    given = work.given(MoveDisks)
    transaction.disks.set_origin(disk.id, snapshot_id, ancestors_of(transaction, disk))
    transaction.jobs.add(fill_job(work.backend, disk, snapshot_id))
    lost = _source(work, transaction)
    if given.lost and lost is not None:
        leaving.drop_jobs(work.backend, transaction, disk.id, lost.host)
    elif not given.lost:
        leaving.drop_moved(work.backend, transaction, disk.id, given.source)
        key = leaving.removal_key(disk.id, given.source)
        _next(work, transaction, DeleteDisk(disk=disk.id), given.source, key)


def _next(
    work: Work,
    transaction: Transaction,
    arguments: OfDisk | OfInstance,
    host: str,
    key: str | None = None,
) -> None:
    transaction.jobs.add(
        Job(
            id=work.backend.ids.new_id(),
            key=key or arguments.at,
            region=work.job.region,
            zone=work.job.zone,
            server=host,
            created_ms=work.backend.clock.now_ms(),
            arguments=arguments,
        )
    )


def _name_host(work: Work, transaction: Transaction, moved: Disk | Instance) -> None:
    """What was asked for by a tag has that of its new host."""
    if HOST_TAG in moved.tags:
        tags = {**moved.tags, HOST_TAG: work.backend.this_server.name}
        transaction.tags.replace(moved.id, tags)


MOVE = Procedure(JobKind.MOVE_DISKS, (Step("store", store), Step("make", make, unmake)), failed)
