"""What the state of a disk or of a snapshot allows."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.database import Transaction
from mooring.model.counts import counted
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.snapshot import SnapshotState
from mooring.service.automatic.taken import check_none_pending
from mooring.taking.recording import has_too_many_pending


def check_freezable(backend: Backend, transaction: Transaction, disk: Disk) -> None:
    """Raise if a snapshot of the disk cannot be taken now."""
    backend.engine(disk.zone)
    if disk.state not in (DiskState.AVAILABLE, DiskState.IN_USE):
        raise OperationFailureException(
            "You can't create a snapshot of this disk right now. "
            f"The state of this disk is: {disk.state}"
        )
    pending = transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
    check_none_pending(disk, pending)
    limit = backend.max_pending_snapshots
    if has_too_many_pending(pending, limit):
        raise InvalidInputException(
            f"The disk {disk.name} has {counted(limit, 'pending snapshot')}, which is the "
            "limit. Please wait for it to complete before trying again.",
            "PendingSnapshotLimitExceeded",
        )


def check_frozen(snapshot: Snapshot) -> None:
    """Raise if the request that takes the snapshot is still under way."""
    if not snapshot.frozen:
        raise OperationFailureException(
            f"The snapshot {snapshot.name} is being taken right now. Please try again in a few "
            "minutes."
        )
