"""Automatic snapshots that are due: taken, or left due until they can be.

They are of disks and of instances. The timetable (timetable.py) wakes when a run is due (a row of
the catalog, so that of several servers one takes each). In one transaction a run is moved to its
next time and a snapshot is recorded, of an instance with a part for each disk that is attached,
and with the jobs that every snapshot has in one form or another: freeze.py, then
upload_snapshot.py for each disk. From there on it is a snapshot like any other.

A run stays due while it cannot be taken: while an automatic snapshot of the same disk, or of the
same instance, is still being stored, while disks of the instance come or go, or while too many
of the server's disks are pending. So there is never a pile, what was missed while the server was
down is made up for by one snapshot, and those due longest come first. Disks and instances do not
wait for each other's.

What nobody serves (its host was fenced, or has its zone no more, or the zone is away) fails, and is
tried again soon, as what cannot be frozen.
"""

from __future__ import annotations

from collections.abc import Iterator

from mooring.backend.backend import Backend
from mooring.catalog.tables.auto_runs import AutoRuns
from mooring.catalog.tables.snapshots import Pending
from mooring.catalog.transaction import Transaction
from mooring.jobs.automatic.retention import expire
from mooring.model.automatic import rules
from mooring.model.automatic.health import NOT_LOOKED, missed
from mooring.model.automatic.rules import AutoRun, AutoSource, following
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import Snapshot, in_motion
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import Freeze
from mooring.taking import not_taken, recording

MAX_PENDING = 64
"""Snapshots of a server's disks, automatic or part of an automatic one, that may be pending before
it takes more; the others stay due."""

READ_AT_ONCE = 500
"""Runs that are due read from the catalog at once."""

AT_ONCE = 16
"""Snapshots begun in one transaction: it waits for the disk, and requests wait for it."""


def take_due(backend: Backend, looked_ms: int | None = None) -> int:
    """Begin the automatic snapshots that are due; says how many.

    What was due since `looked_ms`, when this was called before, and is due again was missed; None:
    it was not called before.
    """
    now = backend.clock.now_ms()
    begun = 0
    pending: Pending | None = None
    for due in _due(backend, now):
        if pending is None:
            with backend.catalog.read() as transaction:
                pending = transaction.snapshots.pending(backend.engines, backend.host)
        # Most of those that are due and wait, wait for their own last one.
        free = [run for run in due if run.resource_id not in pending.resources]
        for start in range(0, len(free), AT_ONCE):
            if pending.automatic >= MAX_PENDING:
                return begun
            with backend.catalog.write() as transaction:
                pending = transaction.snapshots.pending(backend.engines, backend.host)
                for run in free[start : start + AT_ONCE]:
                    if pending.automatic < MAX_PENDING:
                        begun += _take(backend, transaction, run, pending, looked_ms)
    return begun


def _due(backend: Backend, now: int) -> Iterator[list[AutoRun]]:
    """What is due, some at a time: one that waits keeps nobody from what is due after it."""
    for ask in (AutoRuns.due, AutoRuns.set_back):
        after: AutoRun | None = None
        while True:
            with backend.catalog.read() as transaction:
                found = ask(transaction.auto_runs, now, after, READ_AT_ONCE)
            if not found:
                break
            yield found
            after = found[-1]


def _take(
    backend: Backend,
    transaction: Transaction,
    seen: AutoRun,
    pending: Pending,
    looked_ms: int | None,
) -> bool:
    """Begin a snapshot, and count it as pending, if it is still due and can be taken."""
    now = backend.clock.now_ms()
    # It is locked first: of several servers the next one sees what this one does with the run.
    resource: Disk | Instance | None = transaction.disks.by_id(seen.resource_id)
    resource = resource or transaction.instances.by_id(seen.resource_id)
    run = transaction.auto_runs.find(seen.resource_id, seen.source)
    if run is None or run.next_ms != seen.next_ms:
        return False  # another server was quicker
    if resource is None:
        transaction.auto_runs.remove(run.resource_id)
        transaction.auto_failures.remove(run.resource_id)
        return False
    disks = _disks(transaction, resource)
    if disks is None:
        return False
    if (why := _not_served(backend, resource)) is not None:
        _cannot_be_taken(transaction, run, now, why)
        return False
    if not backend.has(resource) or resource.region not in backend.vaults:
        return False  # it is another host's
    if _must_wait(backend, transaction, resource, disks, pending, now):
        return False
    later = following(run, now)
    transaction.auto_runs.move(run.resource_id, run.source, later.next_ms, later.within_ms)
    set_back = run.next_ms > now
    for moment in () if set_back else missed(run, now, looked_ms):
        not_taken.record(transaction, run, moment, NOT_LOOKED)
    if set_back or _has_this_day(transaction, run, now):
        return False
    broken = next((disk for disk in disks if disk.state is DiskState.ERROR), None)
    if broken is not None:
        not_taken.record(transaction, run, now, f"the disk {broken.name} could not be made")
        return False
    # What is known of those that failed is kept beside: however often it fails, no row is left.
    for failed in transaction.failed_automatic_of(resource.id):
        recording.discard(transaction, failed, backend.ids, now)
    whole = _begin(backend, transaction, resource, disks, run, now)
    pending.automatic += len(whole.members)
    pending.resources.add(resource.id)
    pending.of_disks.update(one.disk_id for one in whole.members)
    return True


def _not_served(backend: Backend, resource: Disk | Instance) -> str | None:
    """Why nobody can take it, whoever looks; None if somebody can, or will soon."""
    if (why := backend.unserved(resource)) is not None:
        return why
    if backend.has(resource) and resource.region not in backend.vaults:
        return f"the region {resource.region} is not in the settings"
    return None


def _cannot_be_taken(transaction: Transaction, run: AutoRun, now: int, why: str) -> None:
    """Keep that it failed, and try again soon, as after a freeze that failed."""
    again = rules.again(run, now)
    transaction.auto_runs.move(run.resource_id, run.source, again.next_ms, again.within_ms)
    if run.next_ms <= now:  # else the clock was set back, and nothing is due
        not_taken.record(transaction, run, now, why)


def _disks(transaction: Transaction, resource: Disk | Instance) -> list[Disk] | None:
    """The disks to freeze; None while that cannot be said, or they cannot be."""
    if isinstance(resource, Disk):
        return None if resource.state is DiskState.PENDING else [resource]
    disks = transaction.disks.of_instance(resource.id)
    return None if in_motion(resource, disks) is not None else disks


def _must_wait(
    backend: Backend,
    transaction: Transaction,
    resource: Disk | Instance,
    disks: list[Disk],
    pending: Pending,
    now: int,
) -> bool:
    if resource.id in pending.resources:
        return True
    if any(pending.of_disks[disk.id] >= backend.max_pending_snapshots for disk in disks):
        return True
    # Of one moment there is one, for it has its name from that.
    rows = transaction.snapshots if isinstance(resource, Disk) else transaction.instance_snapshots
    return rows.by_name(resource.region, rules.name_of(resource.name, now)) is not None


def _has_this_day(transaction: Transaction, run: AutoRun, now: int) -> bool:
    """The add-on's snapshots are named by their day, so there is one for each."""
    return run.source is AutoSource.ADD_ON and any(
        one.auto is AutoSource.ADD_ON
        and (one.is_stored or one.is_pending)
        and rules.day(one.created_ms) == rules.day(now)
        for one in transaction.automatic_of(run.resource_id)
    )


def _begin(
    backend: Backend,
    transaction: Transaction,
    resource: Disk | Instance,
    disks: list[Disk],
    run: AutoRun,
    now: int,
) -> Snapshot:
    name = rules.name_of(resource.name, now)
    whole = (
        recording.of_disk(backend, resource, name, now, auto=run.source)
        if isinstance(resource, Disk)
        else recording.of_instance(backend, resource, disks, name, now, auto=run.source)
    )
    recording.reserve(transaction, whole)
    if not whole.members:  # there is nothing to store
        expire(backend, transaction, whole)
        return whole
    transaction.jobs.add(
        Job(
            id=backend.ids.new_id(),
            key=f"freeze {resource.id}",
            region=resource.region,
            created_ms=now,
            zone=resource.zone,
            server=resource.host,
            arguments=Freeze(snapshot=whole.id, source=run.source),
        )
    )
    return whole
