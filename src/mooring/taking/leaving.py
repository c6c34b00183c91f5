"""What becomes of a lost host's jobs: others do them, or they have failed."""

from __future__ import annotations

from collections.abc import Collection

from mooring.backend.backend import Backend, Placed
from mooring.catalog.transaction import Transaction
from mooring.model.errors import LeaseLostError
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.export_record import RecordState
from mooring.model.resources.host import Host, HostState
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import (
    DeleteDisk,
    DeleteInstance,
    ExportSnapshot,
    ForkDisk,
    Freeze,
    OfAttachment,
    OfDisk,
    OfInstance,
    RestoreInstance,
    RevertDisk,
    UploadSnapshot,
)
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import forking, moving, not_taken, reverting

CODE = "HostFenced"
"""What the operations say that ended with the host."""

_ANYWHERE = (JobKind.DELETE_SNAPSHOT, JobKind.EXPIRE_SNAPSHOTS, JobKind.IMPORT_SNAPSHOT)
"""What needs the host only while there is one; elsewhere an import completes, or fails in order."""

_WITH_THE_DISK = (JobKind.FILL_DISK, JobKind.FORK_DISK, JobKind.REVERT_DISK)
"""What a disk needs wherever it is: done by whoever takes it over, or by the host if it comes back.

Until then nothing that the disk reads from is deleted.
"""

_IN_A_LINE = (JobKind.FILL_DISK, JobKind.GROW_DISK)
"""Of these the disk has one after the other, wherever it is."""

_WITH_THE_LAYERS = (*_WITH_THE_DISK, JobKind.UPLOAD_SNAPSHOT, JobKind.GROW_DISK)
"""What others can do as well, where they reach the layers."""

_HANDED_ON = (*_WITH_THE_LAYERS, JobKind.DELETE_SNAPSHOT)
"""What a host that is well leaves to others with the disk."""

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
    ended = 0
    given_up: set[str] = set()
    settled_later = _leave_reverts(backend, transaction, host)
    for job in transaction.jobs.of_server(host.id):
        if job.waited_for in settled_later:
            transaction.jobs.give(job, host.id)
        elif job.waited_for in given_up:
            ended += 1
        elif job.kind in _ANYWHERE:
            transaction.jobs.set_free(job)
        elif isinstance(job.arguments, DeleteDisk):
            _leave_removal(transaction, job, host)
        elif _goes_with_the_disk(job, host):
            if _is_elsewhere(transaction, job.arguments.at, host):
                _drop(backend, transaction, job)
                ended += 1
            else:
                transaction.jobs.give(job, host.id)
        else:
            if isinstance(job.arguments, Freeze):
                given_up.add(job.arguments.snapshot)
            elif isinstance(job.arguments, ForkDisk):
                given_up.add(job.waited_for)
            ended += _end(backend, transaction, job, host)
    return ended


def _leave_reverts(backend: Backend, transaction: Transaction, host: Host) -> set[str]:
    """Keep unconfirmed reverts for whoever takes the disks over, where others reach the layers.

    The layers tell whether they were done; what a disk held before is lost otherwise. Returns what
    is waited for of them.
    """
    left: set[str] = set()
    for job in reverting.left_over(transaction, host.id):
        if job.zone in host.shared_zones and not _is_elsewhere(transaction, job.arguments.at, host):
            left |= {reverting.leave(backend, transaction, job), job.given(RevertDisk).point}
    return left


def _leave_removal(transaction: Transaction, job: Job, host: Host) -> None:
    """Have a disk's files removed by whoever reaches them, or by the host should it be back.

    That may be never, so nothing stands behind it in line.
    """
    if job.zone in host.shared_zones:
        transaction.jobs.give(job, "")
    else:
        transaction.jobs.give(job, host.id, removal_key(job.given(DeleteDisk).disk, host.id))


def removal_key(disk_id: str, host: str) -> str:
    """The line of a job that removes what a host has left of a disk that is another's by now.

    Not the disk's own: there the new host's jobs would wait for as long as the old one is away.
    """
    return f"left {disk_id} {host}"


def _end(backend: Backend, transaction: Transaction, job: Job, host: Host) -> bool:
    """End a job of a host that may live yet, and go on with it; False if it ended just now."""
    left: Job | None = job
    while left is not None:
        try:
            with transaction.connection.begin_nested():
                if isinstance(left.arguments, Freeze):
                    # Its uploads, which wait for it, go with the snapshot.
                    _take_back(transaction, left.arguments, _why(host))
                _fail(backend, transaction, left, host)
            return True
        except LeaseLostError:
            left = transaction.jobs.by_id(job.id)
    return False


def _why(host: Host) -> str:
    return f"the {'host' if host.touched_zones else 'server'} {host.name} was fenced"


def _goes_with_the_disk(job: Job, host: Host) -> bool:
    kinds = _WITH_THE_LAYERS if job.zone in host.shared_zones else _WITH_THE_DISK
    return job.kind in kinds and not job.is_held


def _is_elsewhere(transaction: Transaction, disk_id: str, host: Host) -> bool:
    """Whether the disk was moved from the host before that was lost."""
    disk = transaction.disks.by_id(disk_id)
    return disk is not None and disk.host != host.id


def _drop(backend: Backend, transaction: Transaction, job: Job) -> None:
    """End what the disk needed on a host that it was moved from."""
    now, why = backend.clock.now_ms(), "the disk was moved to another host"
    transaction.operations.finish(job.waited_for, now, "Canceled", why)
    transaction.jobs.remove_all(job.id)


def hand_over(transaction: Transaction, disk_id: str, lost: str, server: str) -> None:
    """Let a server do what a disk needs that it took over as it is from a host that is lost.

    Any host of the zone, if `server` is empty.
    """
    for job in _of_disk(transaction, disk_id, lost):
        transaction.jobs.give(job, server)


def awaited(transaction: Transaction, disks: Collection[str], host: str) -> str | None:
    """What a host has yet to do before another can take disks over as they are; None if nothing.

    What it has put off goes with the disk. What it is doing, perhaps only stopped doing, does not:
    it may write to the layers.
    """
    taken = transaction.jobs.taken_of(host)
    for job in transaction.jobs.of_server(host):
        given = job.arguments
        held = job.is_held
        if given.at in disks and (held or job.id in taken or job.kind not in _HANDED_ON):
            return job.kind
        if held and isinstance(given, ForkDisk) and given.source in disks:
            return job.kind
    return None


def hand_on(transaction: Transaction, disk_id: str, host: str, server: str) -> bool:
    """Let a server do what a host that is well has put off; False if it has begun again."""
    return all(
        transaction.jobs.give_at_rest(job, server) for job in _of_disk(transaction, disk_id, host)
    )


def drop_jobs(backend: Backend, transaction: Transaction, disk_id: str, lost: Host) -> None:
    """End what a disk needed on a lost host, of which nobody needs what lies there any more."""
    for job in _of_disk(transaction, disk_id, lost.id):
        if job.kind in _WITH_THE_DISK:
            _drop(backend, transaction, job)
        elif job.kind in _ANYWHERE:
            transaction.jobs.set_free(job)
        else:
            _fail(backend, transaction, job, lost)


def drop_moved(backend: Backend, transaction: Transaction, disk_id: str, source: str) -> None:
    """End what those of the new host would wait for behind, however long the old one is away.

    The others end there by themselves, for they may have to release something.
    """
    for job in _of_disk(transaction, disk_id, source):
        if job.kind in _IN_A_LINE:
            _drop(backend, transaction, job)


def is_given_up(backend: Backend, transaction: Transaction, placed: Placed) -> bool:
    """Whether it is on a host that was fenced, and does not come back before this is recorded.

    By the catalog, not by what was known of the hosts a moment ago: one that is back serves it.
    """
    if not backend.is_lost(placed):
        return False
    transaction.hosts.hold(placed.host)
    seen = transaction.hosts.by_id(placed.host, backend.clock.now_ms())
    return seen is not None and seen.state is HostState.FENCED


def give_up(backend: Backend, transaction: Transaction, disk: Disk) -> None:
    """Have what a lost host had of a disk removed, which is gone from the catalog."""
    seen = backend.hosts.find(disk.host)
    if seen is None:
        return
    for job in reverting.left_over(transaction, disk.host):
        if job.arguments.at == disk.id:
            reverting.take_back(transaction, job)
    if disk.zone in seen.host.shared_zones:
        hand_over(transaction, disk.id, disk.host, "")
    else:
        drop_jobs(backend, transaction, disk.id, seen.host)
    _remove(backend, transaction, seen.host, disk.id, disk.region, disk.zone)


def _remove(
    backend: Backend, transaction: Transaction, lost: Host, disk_id: str, region: str, zone: str
) -> None:
    """By a host that reaches the disk, too, if there may be one, or should the lost one be back."""
    transaction.jobs.add(
        Job(
            id=backend.ids.new_id(),
            key=disk_id,
            region=region,
            zone=zone,
            server="" if zone in lost.shared_zones else lost.id,
            created_ms=backend.clock.now_ms(),
            arguments=DeleteDisk(disk=disk_id),
        )
    )


def _of_disk(transaction: Transaction, disk_id: str, host: str) -> list[Job]:
    jobs = transaction.jobs.of_server(host)
    return [job for job in jobs if job.kind in _HANDED_ON and job.arguments.at == disk_id]


def _take_back(transaction: Transaction, given: Freeze, why: str) -> None:
    """Forget an automatic snapshot that was not frozen."""
    whole = transaction.snapshot(given.snapshot)
    if whole is not None:
        not_taken.take_back(transaction, whole, given.source, why)


def _fail(backend: Backend, transaction: Transaction, job: Job, host: Host) -> None:
    given = job.arguments
    if isinstance(given, UploadSnapshot):
        transaction.snapshots.change_if_there(given.snapshot, state=SnapshotState.ERROR)
    elif job.kind is JobKind.MOVE_DISKS:
        moving.give_back(transaction, job)
    elif job.kind in (JobKind.CREATE_DISK, JobKind.CLONE_DISK):
        assert isinstance(given, OfDisk)
        transaction.disks.change_if_there(given.disk, state=DiskState.ERROR)
    elif isinstance(given, ForkDisk):
        for disk_id in forking.forget_together(transaction, job):
            _remove(backend, transaction, host, disk_id, job.region, job.zone)
        return
    elif isinstance(given, ExportSnapshot):
        transaction.export_records.change_if_there(given.record, state=RecordState.FAILED)
    elif job.kind in (JobKind.ATTACH_DISK, JobKind.DETACH_DISK):
        transaction.disks.change_if_there(_disk_of(job), **DETACHED)
    elif isinstance(given, RestoreInstance):
        forget_restored(transaction, given)
        for disk_id in given.disks:
            _remove(backend, transaction, host, disk_id, job.region, job.zone)
    elif isinstance(given, DeleteInstance):
        for disk_id in set(given.disks) - set(given.own):
            transaction.disks.change_if_there(disk_id, **DETACHED)
        for disk_id in given.own:
            _remove(backend, transaction, host, disk_id, job.region, job.zone)
    elif job.kind in _INSTANCES:
        assert isinstance(given, OfInstance)
        transaction.instances.change_if_there(given.instance, state=_INSTANCES[job.kind].label)
    now = backend.clock.now_ms()
    transaction.operations.finish(job.waited_for, now, CODE, _why(host))
    transaction.jobs.remove(job)


def forget_restored(transaction: Transaction, given: RestoreInstance) -> None:
    """The instance could not be made: its name and those of its disks are free again."""
    instance = transaction.instances.by_id(given.instance)
    if instance is None:
        return
    for disk in transaction.disks.of_instance(instance.id):
        transaction.disks.remove(disk)
    transaction.auto_runs.remove(instance.id)
    transaction.instances.remove(instance)


def _disk_of(job: Job) -> str:
    return job.given(OfAttachment).disk
