"""What becomes of a lost host's jobs: others do them, or they have failed."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.host import Host
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import (
    DeleteInstance,
    ForkDisk,
    Freeze,
    ImportSnapshot,
    OfAttachment,
    OfDisk,
    OfInstance,
    UploadSnapshot,
)
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import moving, not_taken

CODE = "HostFenced"
"""What the operations say that ended with the host."""

_ANYWHERE = (JobKind.DELETE_SNAPSHOT, JobKind.EXPIRE_SNAPSHOTS)
"""What needs the host only while there is one."""

_THERE = (JobKind.DELETE_DISK,)
"""What the host does should it ever come back: nobody waits for it."""

DETACHED = {
    "state": DiskState.AVAILABLE,
    "attachment": Attachment.DETACHED,
    "instance_id": None,
    "path": None,
    "auto_mounting": False,
}
"""The columns of a disk that is attached to nothing."""

_INSTANCES = {
    JobKind.CREATE_INSTANCE: InstanceState.RUNNING,
    JobKind.START_INSTANCE: InstanceState.STOPPED,
    JobKind.STOP_INSTANCE: InstanceState.STOPPED,
}


def leave_jobs(backend: Backend, transaction: Transaction, host: Host) -> int:
    """End the host's jobs, or let others have them; says how many have ended.

    The rows that they were to change say what is so without them. Whoever of the host still runs
    one records nothing any more.
    """
    why, ended = f"the host {host.name} was fenced", 0
    not_frozen: set[str] = set()
    for job in transaction.jobs.of_server(host.id):
        if job.waited_for in not_frozen:
            ended += 1
        elif job.kind in _ANYWHERE:
            transaction.jobs.set_free(job)
        elif job.kind not in _THERE:
            if isinstance(job.arguments, Freeze):
                # Its uploads, which wait for it, go with the snapshot.
                _take_back(transaction, job.arguments, why)
                not_frozen.add(job.arguments.snapshot)
            _fail(backend, transaction, job, why)
            ended += 1
    return ended


def _take_back(transaction: Transaction, given: Freeze, why: str) -> None:
    """Forget an automatic snapshot that was not frozen."""
    whole = transaction.snapshot(given.snapshot)
    if whole is not None:
        not_taken.take_back(transaction, whole, given.source, why)


def _fail(backend: Backend, transaction: Transaction, job: Job, why: str) -> None:
    given = job.arguments
    if isinstance(given, UploadSnapshot | ImportSnapshot):
        transaction.snapshots.change_if_there(given.snapshot, state=SnapshotState.ERROR)
    elif job.kind is JobKind.MOVE_DISKS:
        moving.give_back(transaction, job)
    elif job.kind in (JobKind.CREATE_DISK, JobKind.CLONE_DISK):
        assert isinstance(given, OfDisk)
        transaction.disks.change_if_there(given.disk, state=DiskState.ERROR)
    elif isinstance(given, ForkDisk):
        _not_forked(transaction, transaction.disks.by_id(given.disk))
    elif job.kind in (JobKind.ATTACH_DISK, JobKind.DETACH_DISK):
        transaction.disks.change_if_there(_disk_of(job), **DETACHED)
    elif isinstance(given, DeleteInstance):
        for disk_id in set(given.disks) - set(given.own):
            transaction.disks.change_if_there(disk_id, **DETACHED)
    elif job.kind in _INSTANCES:
        assert isinstance(given, OfInstance)
        transaction.instances.change_if_there(given.instance, state=_INSTANCES[job.kind].label)
    now = backend.clock.now_ms()
    transaction.operations.finish(job.waited_for, now, CODE, why)
    transaction.jobs.remove(job)


def _not_forked(transaction: Transaction, disk: Disk | None) -> None:
    """A fork that was not confirmed is none; one that was has what it had."""
    if disk is not None and disk.state is DiskState.PENDING:
        transaction.disks.change(disk.id, state=DiskState.ERROR)


def _disk_of(job: Job) -> str:
    return job.given(OfAttachment).disk
