"""Growth of disks in place."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.job_arguments import GrowDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.sizes import check_disk_size
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.finding import find_disk
from mooring.service.own.own_request import Answer, member
from mooring.service.using import cut_off

OPERATION = "GrowDisk"
"""The type of the operation that a growth has in the lists of operations."""


def grow(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the disk `diskName` larger, to `sizeInGb`, in use or not.

    Clients of the disk are cut off once, and find the new size when they connect again. The answer
    is the operation, whose details name them.
    """
    call = Call(context, OPERATION, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    size_gb = params.get("sizeInGb")
    if not isinstance(size_gb, int):
        raise InvalidInputException("sizeInGb is required.")
    check_disk_size(size_gb)
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, call.region, member(params, "diskName"))
    # A block device of this host is served again without being cut off from whoever uses it.
    device = backend.devices.device(disk.id)
    told = cut_off(backend, [disk]) if device is None else None
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, disk.name)
        backend.engine(disk)
        if disk.state not in (DiskState.AVAILABLE, DiskState.IN_USE):
            raise OperationFailureException(
                f"You can't make the disk {disk.name} larger right now. "
                f"The state of this disk is: {disk.state}"
            )
        if size_gb <= disk.size_gb:
            raise InvalidInputException(
                f"The disk {disk.name} has {disk.size_gb} GB and cannot get {size_gb} GB: disks "
                "only grow. For a smaller one, create a disk and copy the files."
            )
        _check_growing(transaction, disk, size_gb)
        started = operations.enqueue(
            backend,
            transaction,
            GrowDisk(disk=disk.id, size_gb=size_gb),
            f"grow {disk.id}",
            disk.region,
            [operations.begin(backend, call, disk, details=told)],
            at=disk,
        )
        return operations.reply(backend, transaction, call, started)


def _check_growing(transaction: Transaction, disk: Disk, size_gb: int) -> None:
    """Raise InvalidInputException if a growth to more is under way."""
    jobs = transaction.jobs.of_kind(JobKind.GROW_DISK)
    sizes = [given.size_gb for job in jobs if (given := job.given(GrowDisk)).disk == disk.id]
    if size_gb < max(sizes, default=0):
        raise InvalidInputException(
            f"The disk {disk.name} is growing to {max(sizes)} GB right now and cannot get "
            f"{size_gb} GB: disks only grow."
        )
