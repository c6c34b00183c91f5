"""Automatic snapshots: taken when they are due, thinned out when the next one is stored.

The schedule looks now and then which runs are due (rows of the catalog, so that of several
servers one takes each). In one transaction a run is moved to its next time and a snapshot is
recorded, with the two jobs that every snapshot has in one form or another:

    freeze   fix the disk's content; let the upload begin          undo: take the snapshot back
    upload   upload_snapshot.py, held until then

From there on it is a snapshot like any other. Killed at any moment, the job goes on: to freeze
for a point that is there already does nothing. A disk that cannot be frozen is tried again in
five minutes.

A run stays due while it cannot be taken: while an automatic snapshot of the same disk is
still being stored, or too many of all disks are. So there is never a pile, what was missed while
the server was down is made up for by one snapshot, and those due longest come first.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from mooring.catalog.database import Transaction
from mooring.jobs.procedure import Change, Procedure, Step, Tools, Work
from mooring.model import auto_snapshot
from mooring.model.auto_snapshot import AutoRun, AutoSource, next_run, rhythm_run
from mooring.model.consistency import Wish, wish_of
from mooring.model.disk import Disk, DiskState
from mooring.model.errors import EngineError
from mooring.model.job import HELD_MS, Job, JobKind
from mooring.model.rhythm import offset_of, parse_rhythms, superfluous
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.model.snapshot_jobs import deletion

MAX_PENDING = 64
"""Automatic snapshots of all disks that may be pending at once; the others stay due."""

log = structlog.get_logger("mooring.jobs")


def take_due(tools: Tools, policy: str = "") -> int:
    """Begin the automatic snapshots that are due; says how many.

    `policy` are the rhythms of the configuration, for disks without a tag of their own.
    """
    now = tools.clock.now_ms()
    if policy:
        _follow_configuration(tools, policy, now)
    with tools.catalog.read() as transaction:
        due = transaction.auto_runs.due(now)
        room = MAX_PENDING - transaction.snapshots.auto_pending() if due else 0
    begun = 0
    for run in due:
        if begun >= room:
            break
        with tools.catalog.write() as transaction:
            begun += _take(tools, transaction, run)
    return begun


def thin(tools: Tools, transaction: Transaction, stored: DiskSnapshot) -> None:
    """Let go of what the disk keeps no more, now that another snapshot of it is stored.

    What was taken by the add-on and what by rhythms do not count together. Nothing is let go
    once the add-on, or the rhythms, are no more.
    """
    runs = transaction.auto_runs.of(stored.disk_id)
    run = next((one for one in runs if _group(one.source) == _group(stored.auto)), None)
    if run is None:
        return
    now = tools.clock.now_ms()
    of_group = [
        one
        for one in transaction.snapshots.auto_of_disk(stored.disk_id)
        if _group(one.auto) == _group(stored.auto)
    ]
    completed = [
        one for one in of_group if one.state is SnapshotState.COMPLETED or one.id == stored.id
    ]
    # One that failed is shown until a later one has not.
    gone = [
        one
        for one in of_group
        if one.state is SnapshotState.ERROR and one.created_ms < stored.created_ms
    ]
    if run.source is AutoSource.ADD_ON:
        gone += sorted(completed, key=lambda one: one.created_ms)[: -auto_snapshot.KEPT]
    else:
        moments = {one.created_ms for one in completed}
        rhythms = parse_rhythms(run.policy)
        let_go = superfluous(rhythms, moments, now, offset_of(stored.disk_id, rhythms))
        gone += [one for one in completed if one.created_ms in let_go]
    for one in gone:
        transaction.snapshots.remove(one)
        transaction.jobs.add(deletion(one, tools.ids.new_id(), now))


def freeze(work: Work) -> Change:
    """Fix the content, unless disk and snapshot are gone."""
    with work.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_id(work.argument("snapshot"))
        disk = transaction.disks.by_id(work.argument("disk"))

    def nothing(_transaction: Transaction) -> None:
        """The disk is gone, and its snapshots with it; the upload finds that out."""

    confirm: Change = nothing
    if snapshot is not None and disk is not None:
        confirm = _freeze(work, disk, snapshot)

    def change(transaction: Transaction) -> None:
        confirm(transaction)
        transaction.jobs.let_go(work.argument("snapshot"))

    return change


def take_back(work: Work) -> None:
    """Let go of the point, if there is one."""
    work.engine.release(work.argument("disk"), work.argument("snapshot"), stored=False)


def failed(transaction: Transaction, job: Job) -> None:
    """The disk could not be frozen: as if nobody had tried, but soon again."""
    snapshot = transaction.snapshots.by_id(job.arguments["snapshot"])
    if snapshot is None:
        transaction.jobs.let_go(job.arguments["snapshot"])
        return
    log.warning("an automatic snapshot was not taken", reason=job.error_details, **job.arguments)
    transaction.take_back(snapshot)
    source = AutoSource(job.arguments["source"])
    again = job.created_ms + auto_snapshot.RETRY_MS
    transaction.auto_runs.move(snapshot.disk_id, source, again)


def _freeze(work: Work, disk: Disk, snapshot: DiskSnapshot) -> Change:
    if snapshot.id not in work.engine.points(disk.id):
        return work.tools.freeze(disk, snapshot)
    # A crash came between, and nobody knows whether the disk's users were at rest.
    if wish_of(disk.tags) is Wish.REQUIRE:
        raise EngineError(
            f"the disk {disk.name} was frozen, but whether its users were at rest is not known"
        )
    return lambda transaction: _confirm(transaction, snapshot)


def _confirm(transaction: Transaction, snapshot: DiskSnapshot) -> None:
    transaction.snapshots.change(snapshot.id, frozen=True)


def _follow_configuration(tools: Tools, policy: str, now: int) -> None:
    with tools.catalog.read() as transaction:
        new = transaction.auto_runs.without_rhythms()
    if not new:
        return
    with tools.catalog.write() as transaction:
        for disk_id in new:
            disk = transaction.disks.by_id(disk_id)
            if disk is not None:
                run = rhythm_run(disk.id, disk.region, AutoSource.CONFIG, policy, now)
                transaction.auto_runs.put(run)


def _take(tools: Tools, transaction: Transaction, seen: AutoRun) -> int:
    """Begin one snapshot, if it is still due and the disk can take it."""
    now = tools.clock.now_ms()
    run = transaction.auto_runs.find(seen.resource_id, seen.source)
    if run is None or run.next_ms != seen.next_ms:
        return 0  # another server was quicker
    disk = transaction.disks.by_id(run.resource_id)
    if disk is None:
        transaction.auto_runs.remove(run.resource_id)
        return 0
    if disk.state is DiskState.PENDING or _must_wait(tools, transaction, disk):
        return 0
    transaction.auto_runs.move(disk.id, run.source, next_run(run, now))
    set_back = run.next_ms > now
    if set_back or disk.state is DiskState.ERROR or _has_this_day(transaction, run, now):
        return 0
    _begin(tools, transaction, disk, run, now)
    return 1


def _must_wait(tools: Tools, transaction: Transaction, disk: Disk) -> bool:
    pending = [
        one
        for one in transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
        if one.content_id is None
    ]
    return len(pending) >= tools.max_pending_snapshots or any(one.auto for one in pending)


def _has_this_day(transaction: Transaction, run: AutoRun, now: int) -> bool:
    """The add-on's snapshots are named by their day, so there is one for each."""
    return run.source is AutoSource.ADD_ON and any(
        one.auto is AutoSource.ADD_ON
        and one.state is not SnapshotState.ERROR
        and auto_snapshot.day(one.created_ms) == auto_snapshot.day(now)
        for one in transaction.snapshots.auto_of_disk(run.resource_id)
    )


def _begin(tools: Tools, transaction: Transaction, disk: Disk, run: AutoRun, now: int) -> None:
    snapshot = DiskSnapshot(
        id=tools.ids.new_id(),
        region=disk.region,
        name=auto_snapshot.name_of(disk.name, now),
        created_ms=now,
        support_code=f"{tools.account_id}/snap-0{tools.ids.token(16)}",
        size_gb=disk.size_gb,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=disk.zone,
        auto=run.source,
    )
    transaction.snapshots.add(snapshot)
    arguments = {"snapshot": snapshot.id, "disk": disk.id, "zone": disk.zone}
    upload = Job(
        id=snapshot.id,
        kind=JobKind.UPLOAD_SNAPSHOT,
        key=disk.id,
        region=disk.region,
        created_ms=now,
        arguments=arguments,
        not_before_ms=HELD_MS,
    )
    transaction.jobs.add(upload)
    transaction.jobs.add(
        replace(
            upload,
            id=tools.ids.new_id(),
            kind=JobKind.FREEZE_DISK,
            key=f"freeze {disk.id}",
            arguments={**arguments, "source": run.source},
            not_before_ms=0,
        )
    )


def _group(source: str | None) -> bool:
    return source == AutoSource.ADD_ON


FREEZE = Procedure(JobKind.FREEZE_DISK, (Step("freeze", freeze, take_back),), failed)
