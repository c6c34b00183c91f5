"""Automatic snapshots: taken when they are due, deleted by retention when the next is stored.

They are of disks and of instances. The schedule looks now and then which runs are due (rows of
the catalog, so that of several servers one takes each). In one transaction a run is moved to its
next time and a snapshot is recorded, of an instance with a part for each disk that is attached,
and with the jobs that every snapshot has in one form or another:

    freeze   fix the disks' content at one instant; let the uploads begin
             undo: take the snapshot back
    upload   upload_snapshot.py, for each disk, held until then

From there on it is a snapshot like any other. Killed at any moment, the job goes on: what is
frozen already is not frozen again. What cannot be frozen is tried again in five minutes; so it
is when other disks are attached by then than the instance had, for a snapshot of some of them
is none of it.

A run stays due while it cannot be taken: while an automatic snapshot of the same disk, or of the
same instance, is still being stored, while disks of the instance come or go, or while too many
of all disks are pending. So there is never a pile, what was missed while the server was down is
made up for by one snapshot, and those due longest come first. Disks and instances do not wait
for each other's.
"""

from __future__ import annotations

from dataclasses import replace

from mooring.catalog.database import Transaction
from mooring.host.rooms import DISKS, of_vault
from mooring.jobs import auto_outcomes
from mooring.jobs.running.procedure import Change, Procedure, Step, Tools, Work
from mooring.model.automatic import rules
from mooring.model.automatic.health import NOT_LOOKED, missed
from mooring.model.automatic.rhythm import offset_of, parse_rhythms, superfluous
from mooring.model.automatic.rules import AutoRun, AutoSource, next_run, rhythm_run
from mooring.model.errors import CanceledError, PostponedError
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import Wish, wish_of
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot, in_motion, part
from mooring.model.resources.job import Job, JobKind
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_jobs import uploading

MAX_PENDING = 64
"""Snapshots of disks, automatic or part of an automatic one, that may be pending before more
are taken; the others stay due."""


def take_due(
    tools: Tools, policy: str = "", instance_policy: str = "", looked_ms: int | None = None
) -> int:
    """Begin the automatic snapshots that are due; says how many.

    `policy` and `instance_policy` are the rhythms of the configuration, for disks and for
    instances without a tag of their own. What was due since `looked_ms`, when this was called
    before, and is due again was missed; None: it was not called before.
    """
    now = tools.clock.now_ms()
    _follow_configuration(tools, ResourceType.DISK, policy, now)
    _follow_configuration(tools, ResourceType.INSTANCE, instance_policy, now)
    with tools.catalog.read() as transaction:
        due = transaction.auto_runs.due(now)
        room = MAX_PENDING - transaction.snapshots.auto_pending() if due else 0
    begun = 0
    for run in due:
        if room <= 0:
            break
        with tools.catalog.write() as transaction:
            taken = _take(tools, transaction, run, looked_ms)
        if taken is not None:
            begun += 1
            room -= len(taken.members)
    return begun


def retain(tools: Tools, transaction: Transaction, stored: Snapshot) -> None:
    """Delete what its disk or instance no longer keeps, now that this one is stored.

    What was taken by the add-on and what by rhythms do not count together. Nothing is deleted
    once the add-on, or the rhythms, are gone.
    """
    runs = transaction.auto_runs.of(stored.resource_id)
    run = next((one for one in runs if _group(one.source) == _group(stored.auto)), None)
    if run is None:
        return
    now = tools.clock.now_ms()
    auto_outcomes.stored(transaction, run, stored, now)
    of_group = [
        one
        for one in transaction.automatic_of(stored.resource_id)
        if _group(one.auto) == _group(stored.auto)
    ]
    completed = [one for one in of_group if one.is_stored]
    # What is known of one that failed is kept beside.
    gone = [
        one
        for one in of_group
        if not (one.is_stored or one.is_pending) and one.created_ms < stored.created_ms
    ]
    if run.source is AutoSource.ADD_ON:
        gone += sorted(completed, key=lambda one: one.created_ms)[: -rules.KEPT]
    else:
        moments = {one.created_ms for one in completed}
        rhythms = parse_rhythms(run.policy)
        not_kept = superfluous(rhythms, moments, now, offset_of(stored.resource_id, rhythms))
        gone += [one for one in completed if one.created_ms in not_kept]
    for one in gone:
        transaction.discard(one, tools.ids, now)


def retain_after(tools: Tools, transaction: Transaction, one: DiskSnapshot) -> None:
    """Delete what is no longer kept, if an automatic snapshot is stored now that this one is.

    It may be the last part of one of an instance.
    """
    if one.auto is None and one.part_of is None:
        return
    whole = transaction.snapshot(one.part_of or one.id)
    if whole is not None and whole.auto is not None and whole.is_stored:
        retain(tools, transaction, whole)


def freeze(work: Work) -> Change:
    """Fix the content, unless the snapshot is gone."""
    with work.catalog.read() as transaction:
        whole = transaction.snapshot(work.argument("snapshot"))

    def nothing(_transaction: Transaction) -> None:
        """Its disk or instance is gone, and it with that; the uploads find that out."""

    confirm: Change = nothing if whole is None else _freeze(work, whole)

    def change(transaction: Transaction) -> None:
        confirm(transaction)
        transaction.jobs.confirm(work.argument("snapshot"))

    return change


def take_back(work: Work) -> None:
    """Release the points, if there are any."""
    with work.catalog.read() as transaction:
        whole = transaction.snapshot(work.argument("snapshot"))
    for one in () if whole is None else whole.members:
        work.engine.release(one.disk_id, one.id, stored=False)


def failed(transaction: Transaction, job: Job) -> None:
    """It could not be frozen: that is kept, and it is tried again soon."""
    whole = transaction.snapshot(job.arguments["snapshot"])
    if whole is None:
        transaction.jobs.confirm(job.arguments["snapshot"])
        return
    auto_outcomes.not_taken(transaction, whole, job)
    transaction.take_back(whole)
    source = AutoSource(job.arguments["source"])
    again = job.created_ms + rules.RETRY_MS
    transaction.auto_runs.move(whole.resource_id, source, again)


def _freeze(work: Work, whole: Snapshot) -> Change:
    with work.catalog.read() as transaction:
        found = [transaction.disks.by_id(one.disk_id) for one in whole.members]
    disks = [disk for disk in found if disk is not None]
    frozen = [one for one in whole.members if one.id in work.engine.points(one.disk_id)]
    if not frozen:
        if isinstance(whole, InstanceSnapshot):
            _check_disks(work, whole)
        work.tools.rooms.check(DISKS, of_vault(whole.region))
        return work.tools.freeze(disks, whole.members)
    # A crash came between.
    if len(frozen) < len(whole.members):
        raise CanceledError("only some of the disks were frozen when the server was killed")
    for disk in disks:
        if wish_of(disk.tags) is Wish.REQUIRE:
            raise CanceledError(
                f"the disk {disk.name} was frozen, but whether its users were at rest is not known"
            )
    return lambda transaction: _confirm(transaction, whole)


def _confirm(transaction: Transaction, whole: Snapshot) -> None:
    for one in whole.members:
        transaction.snapshots.change(one.id, frozen=True)


def _check_disks(work: Work, whole: InstanceSnapshot) -> None:
    """Raise PostponedError, or CanceledError, unless the instance has just these disks."""
    with work.catalog.read() as transaction:
        instance = transaction.instances.by_id(whole.instance_id)
        disks = transaction.disks.of_instance(whole.instance_id)
    if instance is None:
        raise CanceledError(f"the instance {whole.instance_name} was deleted")
    if in_motion(instance, disks) is not None:
        raise PostponedError(f"disks of the instance {instance.name} come or go")
    if {disk.id for disk in disks} != {one.disk_id for one in whole.members}:
        raise CanceledError(f"the instance {instance.name} has other disks than a moment before")


def _follow_configuration(tools: Tools, kind: ResourceType, policy: str, now: int) -> None:
    if not policy:
        return
    with tools.catalog.read() as transaction:
        if not transaction.auto_runs.without_rhythms(kind):
            return
    with tools.catalog.write() as transaction:
        for resource_id, region in transaction.auto_runs.without_rhythms(kind):
            run = rhythm_run(resource_id, region, AutoSource.CONFIG, policy, now)
            transaction.auto_runs.put(run)


def _take(
    tools: Tools, transaction: Transaction, seen: AutoRun, looked_ms: int | None
) -> Snapshot | None:
    """Begin a snapshot and return it, if it is still due and can be taken."""
    now = tools.clock.now_ms()
    run = transaction.auto_runs.find(seen.resource_id, seen.source)
    if run is None or run.next_ms != seen.next_ms:
        return None  # another server was quicker
    resource: Disk | Instance | None = transaction.disks.by_id(run.resource_id)
    resource = resource or transaction.instances.by_id(run.resource_id)
    if resource is None:
        transaction.auto_runs.remove(run.resource_id)
        transaction.auto_failures.remove(run.resource_id)
        return None
    disks = _disks(transaction, resource)
    if resource.zone not in tools.engines or resource.region not in tools.vaults:
        return None  # the settings do not name its place any more
    if disks is None or _must_wait(tools, transaction, run, disks, now):
        return None
    transaction.auto_runs.move(resource.id, run.source, next_run(run, now))
    set_back = run.next_ms > now
    for moment in () if set_back else missed(run, now, looked_ms):
        auto_outcomes.record(transaction, run, moment, NOT_LOOKED)
    if set_back or _has_this_day(transaction, run, now):
        return None
    broken = next((disk for disk in disks if disk.state is DiskState.ERROR), None)
    if broken is not None:
        auto_outcomes.record(transaction, run, now, f"the disk {broken.name} could not be made")
        return None
    return _begin(tools, transaction, resource, disks, run, now)


def _disks(transaction: Transaction, resource: Disk | Instance) -> list[Disk] | None:
    """The disks to freeze; None while that cannot be said, or they cannot be."""
    if isinstance(resource, Disk):
        return None if resource.state is DiskState.PENDING else [resource]
    disks = transaction.disks.of_instance(resource.id)
    return None if in_motion(resource, disks) is not None else disks


def _must_wait(
    tools: Tools, transaction: Transaction, run: AutoRun, disks: list[Disk], now: int
) -> bool:
    for one in transaction.automatic_of(run.resource_id):
        # Of one moment there is one, for it has its name from that.
        if one.is_pending or one.created_ms == now:
            return True
    for disk in disks:
        pending = transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
        if sum(one.content_id is None for one in pending) >= tools.max_pending_snapshots:
            return True
    return False


def _has_this_day(transaction: Transaction, run: AutoRun, now: int) -> bool:
    """The add-on's snapshots are named by their day, so there is one for each."""
    return run.source is AutoSource.ADD_ON and any(
        one.auto is AutoSource.ADD_ON
        and (one.is_stored or one.is_pending)
        and rules.day(one.created_ms) == rules.day(now)
        for one in transaction.automatic_of(run.resource_id)
    )


def _begin(
    tools: Tools,
    transaction: Transaction,
    resource: Disk | Instance,
    disks: list[Disk],
    run: AutoRun,
    now: int,
) -> Snapshot:
    whole = (
        _of_disk(tools, resource, run, now)
        if isinstance(resource, Disk)
        else _of_instance(tools, resource, disks, run, now)
    )
    transaction.enter(whole)
    if not whole.members:  # there is nothing to store
        retain(tools, transaction, whole)
        return whole
    for one in whole.members:
        transaction.jobs.add(uploading(one, now))
    transaction.jobs.add(
        Job(
            id=tools.ids.new_id(),
            kind=JobKind.FREEZE,
            key=f"freeze {resource.id}",
            region=resource.region,
            created_ms=now,
            arguments={"snapshot": whole.id, "zone": resource.zone, "source": run.source},
        )
    )
    return whole


def _of_disk(tools: Tools, disk: Disk, run: AutoRun, now: int) -> DiskSnapshot:
    return DiskSnapshot(
        id=tools.ids.new_id(),
        region=disk.region,
        name=rules.name_of(disk.name, now),
        created_ms=now,
        support_code=tools.support_code("snap"),
        size_gb=disk.size_gb,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=disk.zone,
        auto=run.source,
    )


def _of_instance(
    tools: Tools, instance: Instance, disks: list[Disk], run: AutoRun, now: int
) -> InstanceSnapshot:
    whole = InstanceSnapshot(
        id=tools.ids.new_id(),
        region=instance.region,
        name=rules.name_of(instance.name, now),
        created_ms=now,
        support_code=tools.support_code("ami"),
        instance_id=instance.id,
        instance_name=instance.name,
        instance_zone=instance.zone,
        blueprint_id=instance.blueprint_id,
        bundle_id=instance.bundle_id,
        auto=run.source,
    )
    parts = [part(whole, disk, tools.ids.new_id(), tools.support_code("snap")) for disk in disks]
    return replace(whole, parts=parts)


def _group(source: str | None) -> bool:
    return source == AutoSource.ADD_ON


FREEZE = Procedure(JobKind.FREEZE, (Step("freeze", freeze, take_back),), failed)
