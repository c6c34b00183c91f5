"""The freeze of an automatic snapshot: what a request does immediately, as a job.

    freeze   fix the disks' content at one instant; let the uploads begin
             undo: take the snapshot back

Killed at any moment, the job continues: what is frozen already is not frozen again. What cannot be
frozen is tried again within five minutes; so it is when other disks are attached by then than the
instance had, for a snapshot of some of them is none of it.
"""

from __future__ import annotations

from functools import partial

from mooring.catalog.transaction import Transaction
from mooring.host.rooms import DISKS, of_vault, of_zone
from mooring.jobs.automatic import outcomes
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.automatic import rules
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import CanceledError, PostponedError
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot, in_motion
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import Freeze
from mooring.model.resources.job_kind import JobKind
from mooring.taking import freezing, recording
from mooring.taking.freezing import Left
from mooring.taking.verdict import NOT_RECORDED, Frozen, refusal


def freeze(work: Work) -> Change:
    """Fix the content, unless the snapshot is gone."""
    snapshot_id = work.given(Freeze).snapshot
    with work.catalog.read() as transaction:
        whole = transaction.snapshot(snapshot_id)
    if whole is None:
        # Its disk or instance is gone, and it with that; the uploads find that out.
        return partial(_let_uploads_go_on, snapshot_id)
    frozen = _freeze(work, whole)
    return lambda transaction: recording.confirm(transaction, whole, frozen)


def _let_uploads_go_on(snapshot_id: str, transaction: Transaction) -> None:
    transaction.jobs.confirm(snapshot_id)


def take_back(work: Work) -> None:
    """Release the points, if there are any."""
    with work.catalog.read() as transaction:
        whole = transaction.snapshot(work.given(Freeze).snapshot)
    for one in () if whole is None else whole.members:
        work.engine.release(one.disk_id, one.id, stored=False)


def failed(transaction: Transaction, job: Job) -> None:
    """It could not be frozen: that is kept, and it is tried again soon."""
    whole = transaction.snapshot(job.given(Freeze).snapshot)
    if whole is None:
        transaction.jobs.confirm(job.given(Freeze).snapshot)
        return
    outcomes.not_taken(transaction, whole, job)
    recording.take_back(transaction, whole)
    run = transaction.auto_runs.find(whole.resource_id, AutoSource(job.given(Freeze).source))
    if run is not None:
        again = rules.again(run, job.created_ms)
        transaction.auto_runs.move(run.resource_id, run.source, again.next_ms, again.within_ms)
        transaction.auto_runs.stir()


def _freeze(work: Work, whole: Snapshot) -> Frozen | None:
    """Freeze it, unless that was done before a crash, or is even stored: None, for nobody knows
    how."""
    left = freezing.left(whole, lambda one: work.engine.points(one.disk_id))
    if left is Left.SOME:
        raise CanceledError("only some of the disks were frozen when the server was killed")
    if left is Left.ALL:
        _check_wishes(work, whole)
        return None
    if work.job.generation > 1 and any(work.vault.has(one.id) for one in whole.members):
        # The catalog is a copy of before that: the disks hold something else by now.
        return None
    if isinstance(whole, InstanceSnapshot):
        _check_disks(work, whole)
    work.backend.rooms.check(DISKS, of_zone(work.job.zone), of_vault(whole.region))
    return freezing.freeze(work.backend, whole)


def _check_wishes(work: Work, whole: Snapshot) -> None:
    """Raise CanceledError if a disk needs more than to be frozen."""
    with work.catalog.read() as transaction:
        found = [transaction.disks.by_id(one.disk_id) for one in whole.members]
    refused = refusal([disk for disk in found if disk is not None], {}, NOT_RECORDED)
    if refused is not None:
        raise CanceledError(str(refused))


def _check_disks(work: Work, whole: InstanceSnapshot) -> None:
    """Raise PostponedError, or CanceledError, unless the instance has just these disks."""
    with work.catalog.read() as transaction:
        instance = transaction.instances.by_id(whole.instance_id)
        disks = transaction.disks.of_instance(whole.instance_id)
    if instance is None:
        raise CanceledError(f"the instance {whole.instance_name} was deleted")
    if in_motion(instance, disks) is not None:
        raise PostponedError(
            f"disks of the instance {instance.name} are being attached or detached"
        )
    if {disk.id for disk in disks} != {one.disk_id for one in whole.members}:
        raise CanceledError(f"the instance {instance.name} has other disks than a moment ago")


FREEZE = Procedure(JobKind.FREEZE, (Step("freeze", freeze, take_back),), failed)
