"""Attaching and detaching disks, and turning instances on and off.

Each job has the instance's id as key: whatever is asked of one instance happens in the order
of the requests. An instance serves its attached disks while it runs. Serving and no longer
serving a disk can each be repeated, so every procedure here has one step, which is followed in
one transaction by the new states:

Where the instance is this host, a disk that is served is a block device as well, and one that is
in use as such is not removed.

    attach   serve the disk, if the instance runs      undo: do not serve it; disk `available`
    detach   stop serving the disk
    start    serve every attached disk                 undo: stop serving all of them
    stop     stop serving all disks                    undo: serve them again
    reboot   stop serving all disks, and serve them again
    delete   the same, for an instance that is gone from the catalog
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mooring.catalog.transaction import Transaction
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import (
    DeleteDisk,
    DeleteInstance,
    OfAttachment,
    OfInstance,
)
from mooring.model.resources.job_kind import JobKind
from mooring.taking import serving
from mooring.taking.leaving import DETACHED


def attach(work: Work) -> Change:
    """Serve the disk, if the instance runs."""
    disk_id, instance_id = work.given(OfAttachment).disk, work.given(OfInstance).instance
    with work.catalog.read() as transaction:
        disk = transaction.disks.by_id(disk_id)
        instance = transaction.instances.by_id(instance_id)
    # A stop asked for meanwhile comes after this job in line, and finds the disk served.
    running = (InstanceState.RUNNING, InstanceState.STOPPING)
    if disk is not None and instance is not None and instance.state in running:
        serve(work, disk)
    return _disk_change(disk_id, {"attachment": Attachment.ATTACHED})


def detach(work: Work) -> Change:
    """Stop serving the disk, also to a client that came after the request was checked.

    But not to this host while the disk is mounted: the file system would be damaged.
    """
    withdraw(work, [work.given(OfAttachment).disk])
    work.engine.detach(work.given(OfInstance).instance, work.given(OfAttachment).disk, force=True)
    return _disk_change(work.given(OfAttachment).disk, DETACHED)


def undo_attach(work: Work) -> None:
    """Stop serving the disk."""
    withdraw(work, [work.given(OfAttachment).disk])
    work.engine.detach(work.given(OfInstance).instance, work.given(OfAttachment).disk, force=True)


def attach_failed(transaction: Transaction, job: Job) -> None:
    """The disk is as it was before."""
    transaction.disks.change_if_there(job.given(OfAttachment).disk, **DETACHED)


def detach_failed(transaction: Transaction, job: Job) -> None:
    """The disk is still attached."""
    transaction.disks.change_if_there(job.given(OfAttachment).disk, attachment=Attachment.ATTACHED)


def start(work: Work) -> Change:
    """Serve every attached disk."""
    for disk in _attached(work):
        serve(work, disk)
    return _instance_change(work, InstanceState.RUNNING)


def create(work: Work) -> Change:
    """There is nothing to boot: the instance runs as soon as it is registered."""
    return _instance_change(work, InstanceState.RUNNING)


def stop(work: Work) -> Change:
    """Flush all disks and stop serving them."""
    withdraw(work, [disk.id for disk in _attached(work)])
    work.engine.stop(work.given(OfInstance).instance)
    return _instance_change(work, InstanceState.STOPPED)


def undo_stop(work: Work) -> None:
    """Serve every attached disk again."""
    for disk in _attached(work):
        serve(work, disk)


def reboot(work: Work) -> None:
    """Cut off all clients of the disks, and let them come again."""
    with work.catalog.read() as transaction:
        instance = transaction.instances.by_id(work.given(OfInstance).instance)
    if instance is None or instance.state is InstanceState.STOPPED:
        return
    disks = _attached(work)
    withdraw(work, [disk.id for disk in disks])
    work.engine.stop(work.given(OfInstance).instance)
    for disk in disks:
        serve(work, disk)


def reboot_failed(_transaction: Transaction, _job: Job) -> None:
    """The operation says only that a reboot was asked for; `mooringd doctor` tells of the disks."""


def undo_start(work: Work) -> None:
    """Stop serving all disks."""
    withdraw(work, [disk.id for disk in _attached(work)])
    work.engine.stop(work.given(OfInstance).instance)


def start_failed(transaction: Transaction, job: Job) -> None:
    """The instance is still stopped."""
    transaction.instances.change_if_there(
        job.given(OfInstance).instance, state=InstanceState.STOPPED.label
    )


def stop_failed(transaction: Transaction, job: Job) -> None:
    """The instance still runs."""
    transaction.instances.change_if_there(
        job.given(OfInstance).instance, state=InstanceState.RUNNING.label
    )


def delete(work: Work) -> Change:
    """Stop serving the disks of an instance that is gone; set them free, or have them deleted."""
    withdraw(work, work.given(DeleteInstance).disks)
    work.engine.stop(work.given(OfInstance).instance)

    def change(transaction: Transaction) -> None:
        _free(transaction, work.job)

    return change


def delete_failed(transaction: Transaction, job: Job) -> None:
    """Nobody can reach the instance any more: its disks are free all the same."""
    _free(transaction, job)


def _free(transaction: Transaction, job: Job) -> None:
    """Set the disks free; what was the instance's own is deleted, after its uploads."""
    given = job.given(DeleteInstance)
    for disk_id in given.disks:
        if disk_id not in given.own:
            transaction.disks.change_if_there(disk_id, **DETACHED)
    for number, disk_id in enumerate(given.own):
        transaction.jobs.add(
            Job(
                # A fork's own job has the disk's id.
                id=f"{job.id}-{number}",
                key=disk_id,
                region=job.region,
                zone=job.zone,
                server=job.server,
                created_ms=job.created_ms,
                arguments=DeleteDisk(disk=disk_id),
            )
        )


def serve(work: Work, disk: Disk) -> None:
    """Serve a disk at the instance that the job names."""
    instance_id = work.given(OfInstance).instance
    with work.catalog.read() as transaction:
        instance = transaction.instances.by_id(instance_id)
    serving.serve(work.backend, instance_id, instance, disk)


def withdraw(work: Work, disk_ids: Iterable[str]) -> None:
    """Take away the disks' block devices: all, or none if one is in use."""
    serving.withdraw(work.backend, disk_ids)


def _attached(work: Work) -> list[Disk]:
    with work.catalog.read() as transaction:
        disks = transaction.disks.of_instance(work.given(OfInstance).instance)
    return [disk for disk in disks if disk.attachment is Attachment.ATTACHED]


def _disk_change(disk_id: str, columns: Mapping[str, str | bool | None]) -> Change:
    def change(transaction: Transaction) -> None:
        transaction.disks.change(disk_id, **columns)

    return change


def _instance_change(work: Work, state: InstanceState) -> Change:
    def change(transaction: Transaction) -> None:
        transaction.instances.change(work.given(OfInstance).instance, state=state.label)

    return change


ATTACH = Procedure(JobKind.ATTACH_DISK, (Step("attach", attach, undo_attach),), attach_failed)
DETACH = Procedure(JobKind.DETACH_DISK, (Step("detach", detach),), detach_failed)
CREATE = Procedure(JobKind.CREATE_INSTANCE, (Step("create", create),), stop_failed)
START = Procedure(JobKind.START_INSTANCE, (Step("start", start, undo_start),), start_failed)
REBOOT = Procedure(JobKind.REBOOT_INSTANCE, (Step("reboot", reboot),), reboot_failed)
STOP = Procedure(JobKind.STOP_INSTANCE, (Step("stop", stop, undo_stop),), stop_failed)
DELETE = Procedure(JobKind.DELETE_INSTANCE, (Step("delete", delete),), delete_failed)
