"""Making an instance from an instance snapshot, with all its disks.

CreateInstancesFromSnapshot answers while the instance and its disks are `pending`. Then:

    create   the engine makes each disk, with its part of the snapshot below it, and serves it
             undo: serve none of them, and delete them

and in the transaction that records this the instance runs, its disks are attached, and the
operation Succeeded. If it fails, neither instance nor disks remain, and the operation says
why. One job per disk copies the snapshot's content into it: fill_disk.py. Disks that were made
before, and that the catalog lost, are only recorded, and never deleted (backend/made_before.py).
"""

from __future__ import annotations

from collections.abc import Collection

from mooring.backend.made_before import made_before
from mooring.backend.sources import source_of
from mooring.catalog.transaction import Transaction
from mooring.jobs.attachments import serve, withdraw
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.errors import CanceledError
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import RestoreInstance
from mooring.model.resources.job_kind import JobKind
from mooring.model.sizes import size_in_bytes
from mooring.taking.leaving import forget_restored
from mooring.taking.serving import serve_what_can_be


def create(work: Work) -> Change:
    """Make the disks with their parts of the snapshot, which are still in the vault."""
    instance_id = work.given(RestoreInstance).instance
    with work.catalog.read() as transaction:
        if transaction.instances.by_id(instance_id) is None:
            raise CanceledError(f"the instance {instance_id} was deleted")
        disks = transaction.disks.of_instance(instance_id)
    if made := made_before(work.engine, work.given(RestoreInstance).disks):
        return _made_before(work, made)
    if disks:
        work.backend.server(work.job.region).ensure()
    for disk in disks:
        source = source_of(work.backend, disk.region, _origin(disk))
        work.engine.begin_clone(disk.id, size_in_bytes(disk.size_gb), source)
    for disk in disks:
        serve(work, disk)

    def change(transaction: Transaction) -> None:
        host = work.backend.host
        transaction.instances.change(instance_id, state=InstanceState.RUNNING.label, host=host)
        for disk in disks:
            transaction.disks.change(
                disk.id, state=DiskState.IN_USE, attachment=Attachment.ATTACHED, host=host
            )
            transaction.jobs.add(fill_job(work.backend, disk, _origin(disk)))

    return change


def _made_before(work: Work, made: Collection[str]) -> Change:
    """Record what is there; what is not was deleted since."""
    instance_id = work.given(RestoreInstance).instance
    reads = {one: left.snapshot_id for one in made if (left := work.engine.filling(one))}
    with work.catalog.read() as transaction:
        instance = transaction.instances.by_id(instance_id)
        disks = transaction.disks.of_instance(instance_id)
    if instance is not None:
        serve_what_can_be(work.backend, instance, [disk for disk in disks if disk.id in made])

    def change(transaction: Transaction) -> None:
        host = work.backend.host
        transaction.instances.change(instance_id, state=InstanceState.RUNNING.label, host=host)
        for disk in transaction.disks.among(work.given(RestoreInstance).disks):
            if disk.id not in made:
                transaction.auto_runs.remove(disk.id)
                transaction.disks.remove(disk)
                continue
            if disk.state is DiskState.PENDING:
                attached = {"state": DiskState.IN_USE, "attachment": Attachment.ATTACHED}
                transaction.disks.change(disk.id, host=host, **attached)
            if snapshot := reads.get(disk.id):
                transaction.jobs.add(fill_job(work.backend, disk, snapshot))

    return change


def undo_create(work: Work) -> None:
    """Leave no disk behind."""
    disk_ids = work.given(RestoreInstance).disks
    if made_before(work.engine, disk_ids):
        return
    withdraw(work, disk_ids)
    work.engine.stop(work.given(RestoreInstance).instance)
    for disk_id in disk_ids:
        work.engine.delete(disk_id)


def failed(transaction: Transaction, job: Job) -> None:
    """The instance could not be made: its name and those of its disks are free again."""
    forget_restored(transaction, job.given(RestoreInstance))


def _origin(disk: Disk) -> str:
    if disk.origin_id is None:
        raise CanceledError(f"the disk {disk.id} is of no snapshot")
    return disk.origin_id


RESTORE = Procedure(JobKind.RESTORE_INSTANCE, (Step("create", create, undo_create),), failed)
