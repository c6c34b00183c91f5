"""What the state of a disk or of a snapshot allows."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import Snapshot, in_motion
from mooring.model.resources.snapshot import SnapshotState
from mooring.service.automatic.taken import check_none_pending
from mooring.taking.recording import has_too_many_pending

SNAPSHOT, FORK, MOVE = "create a snapshot of", "fork", "move"
"""What is to be done with a disk, or an instance, in the words of errors."""


def check_made(backend: Backend, disk: Disk, what: str) -> None:
    """Raise unless the disk is here, and holds something."""
    backend.engine(disk)
    if disk.state not in (DiskState.AVAILABLE, DiskState.IN_USE):
        raise OperationFailureException(
            f"You can't {what} this disk right now. The state of this disk is: {disk.state}"
        )


def check_freezable(backend: Backend, transaction: Transaction, disk: Disk) -> None:
    """Raise if a snapshot of the disk cannot be taken now."""
    check_made(backend, disk, SNAPSHOT)
    pending = transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
    check_none_pending(disk, pending)
    limit = backend.max_pending_snapshots
    if has_too_many_pending(pending, limit):
        raise InvalidInputException(
            f"The disk {disk.name} has {counted(limit, 'pending snapshot')}, which is the "
            "limit. Please wait for it to complete before trying again.",
            "PendingSnapshotLimitExceeded",
        )


def check_instance_freezable(
    backend: Backend, transaction: Transaction, instance: Instance, disks: Sequence[Disk]
) -> None:
    """Raise if a snapshot of the instance, which has these disks, cannot be taken now."""
    check_instance_made(backend, instance, disks, SNAPSHOT)
    check_none_pending(instance, transaction.automatic_of(instance.id))
    for disk in disks:
        check_freezable(backend, transaction, disk)


def check_frozen(snapshot: Snapshot) -> None:
    """Raise if the request that takes the snapshot is still under way."""
    if not snapshot.frozen:
        raise OperationFailureException(
            f"The snapshot {snapshot.name} is being taken right now. Please try again in a few "
            "minutes."
        )


def check_instance_made(
    backend: Backend, instance: Instance, disks: Sequence[Disk], what: str
) -> None:
    """Raise unless the instance is here, and it is clear which disks it has: none come or go."""
    backend.engine(instance)
    moving = in_motion(instance, disks)
    if isinstance(moving, Instance):
        raise OperationFailureException(
            f"You can't {what} this instance right now. "
            f"The state of this instance is: {instance.state.label}"
        )
    if moving is not None:
        raise OperationFailureException(
            f"The disk {moving.name} of the instance {instance.name} is {moving.attachment}. "
            "Please try again in a few minutes."
        )
    for disk in disks:
        check_made(backend, disk, what)
