"""Disks: creating, showing, deleting them."""

from __future__ import annotations

from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
    PointNotFoundError,
)
from mooring.model.names import check_name, name_taken
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.job_arguments import CloneDisk, CreateDisk, DeleteDisk, OfDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.sizes import check_disk_size
from mooring.service.answers import operations, pages
from mooring.service.answers.views import disk_view
from mooring.service.automatic.add_ons import begin_with, end_with, read_add_ons
from mooring.service.automatic.taken import find_auto_snapshot_of_disk, refuse_choice
from mooring.service.call import Call, Params, Result
from mooring.service.finding import find_disk, find_snapshot
from mooring.service.placing import host_for_disk
from mooring.service.snapshots.pending_source import check_source, fork_of_pending
from mooring.taking.forking import Fork, fork_or_take_back, reserve
from mooring.taking.leaving import give_up, is_given_up


def create_disk(backend: Backend, call: Call) -> Result:
    """CreateDisk."""
    disk = _new_disk(backend, call, origin=None)
    with backend.catalog.write() as transaction:
        disk = replace(disk, host=host_for_disk(backend, transaction, disk))
        return _add(backend, transaction, call, disk, CreateDisk(disk=disk.id))


def create_disk_from_snapshot(backend: Backend, call: Call) -> Result:
    """CreateDiskFromSnapshot; of a pending one, if the settings allow it, it is a fork."""
    with backend.catalog.write() as transaction:
        snapshot, name = _source(transaction, call.region, call.params)
        check_source(backend, snapshot, name)
        disk = _new_disk(backend, call, origin=snapshot)
        if snapshot.state is SnapshotState.COMPLETED:
            disk = replace(disk, host=host_for_disk(backend, transaction, disk))
            arguments = CloneDisk(disk=disk.id, snapshot=snapshot.id)
            return _add(backend, transaction, call, disk, arguments)
        _check_free(transaction, disk)
        source = transaction.disks.by_id(snapshot.disk_id)
        if source is not None and source.zone == disk.zone:
            disk = replace(disk, host=source.host)
        if source is not None:
            disk = replace(disk, ancestors=source.forked())
            if backend.engine(disk).filling(source.id) is not None:
                # What it lacks, it gets from the snapshot that its source is made from.
                disk = replace(disk, origin_id=source.origin_id)
        fork = fork_of_pending(backend, snapshot, name, disk)
        reserve(backend, transaction, fork)
        begin_with(backend, transaction, call, disk)

    def answer(transaction: Transaction, _fork: Fork) -> Result:
        ended = [operations.begin(backend, call, disk, ended=True)]
        return operations.reply(backend, transaction, call, ended)

    try:
        return fork_or_take_back(backend, fork, answer)
    except OperationFailureException as error:
        if not isinstance(error.__cause__, PointNotFoundError):
            raise
    raise OperationFailureException(
        f"The snapshot {name} was stored, or deleted, just now: please try again. If its disk was "
        "reverted since, wait until it is completed."
    )


def get_disk(backend: Backend, call: Call) -> Result:
    """GetDisk."""
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, call.region, call.params["diskName"])
    return {"disk": disk_view(backend, disk)}


def get_disks(backend: Backend, call: Call) -> Result:
    """GetDisks: in the order of their making."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.disks.page(call.region, after, pages.SIZE)
    return {
        "disks": [disk_view(backend, disk) for disk in found],
        "nextPageToken": pages.token(more),
    }


def delete_disk(backend: Backend, call: Call) -> Result:
    """DeleteDisk: gone for clients at once; its files go when no snapshot needs them."""
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, call.params["diskName"])
        lost = is_given_up(backend, transaction, disk)
        if not lost:
            backend.engine(disk)
        if disk.is_system and disk.instance_name is not None:
            raise OperationFailureException(
                f"The disk {disk.name} is the system disk of the instance {disk.instance_name}: "
                "delete-instance deletes both."
            )
        if disk.attachment is not Attachment.DETACHED:
            raise OperationFailureException(
                "You can't perform this operation because the disk is still attached "
                f"to a Lightsail instance: {disk.instance_name or 'being detached'}"
            )
        _check_not_being_forked(transaction, disk)
        end_with(backend, transaction, call, disk)
        transaction.disks.remove(disk)
        ended = [operations.begin(backend, call, disk, ended=True)]
        if lost:
            give_up(backend, transaction, disk)
        else:
            arguments, key = DeleteDisk(disk=disk.id), disk.id
            operations.enqueue(backend, transaction, arguments, key, disk.region, at=disk)
        return operations.reply(backend, transaction, call, ended)


def _check_not_being_forked(transaction: Transaction, disk: Disk) -> None:
    """Raise while the request is under way that makes the disk of another one."""
    job = transaction.jobs.by_id(disk.id)
    if job is not None and job.kind is JobKind.FORK_DISK and job.is_held:
        raise OperationFailureException(
            f"The disk {disk.name} is being made right now. Please try again in a moment."
        )


def _source(transaction: Transaction, region: str, params: Params) -> tuple[DiskSnapshot, str]:
    """The snapshot to start from, and what errors call it."""
    name, disk_name = params.get("diskSnapshotName"), params.get("sourceDiskName")
    if name and disk_name:
        raise InvalidInputException("Give either diskSnapshotName or sourceDiskName, not both.")
    if disk_name:
        return find_auto_snapshot_of_disk(transaction, region, disk_name, params), disk_name
    if not name:
        raise InvalidInputException(
            "diskSnapshotName is required: the snapshot to start from. For an automatic snapshot, "
            "give sourceDiskName instead."
        )
    refuse_choice(params, "sourceDiskName", "diskSnapshotName")
    return find_snapshot(transaction, region, name), name


def _new_disk(backend: Backend, call: Call, origin: DiskSnapshot | None) -> Disk:
    params = call.params
    read_add_ons(params, call.region)
    tags = read_given_tags(ResourceType.DISK, params.get("tags") or [])
    size = check_disk_size(params["sizeInGb"])
    if origin is not None and size < origin.size_gb:
        raise InvalidInputException(
            f"The size of a disk made from the snapshot {origin.name} must be at least "
            f"{origin.size_gb} GB, the size of the snapshot."
        )
    return Disk(
        id=backend.ids.new_id(),
        region=call.region,
        zone=backend.check_zone(call.region, params["availabilityZone"]),
        name=check_name(params["diskName"]),
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("vol"),
        size_gb=size,
        origin_id=None if origin is None else origin.id,
        tags=tags,
    )


def _check_free(transaction: Transaction, disk: Disk) -> None:
    if taken := transaction.names.taken(disk.region, [disk.name]):
        raise name_taken(taken)


def _add(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    disk: Disk,
    arguments: OfDisk,
) -> Result:
    _check_free(transaction, disk)
    transaction.disks.add(disk)
    begin_with(backend, transaction, call, disk)
    started = operations.enqueue(
        backend,
        transaction,
        arguments,
        disk.id,
        disk.region,
        [operations.begin(backend, call, disk)],
        at=disk,
    )
    return operations.reply(backend, transaction, call, started)
