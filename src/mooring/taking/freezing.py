"""Taking snapshots: what those of disks and of instances have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mooring.catalog.database import Transaction
from mooring.model.counts import counted
from mooring.model.errors import (
    InvalidInputException,
    MooringError,
    OperationFailureException,
    ServiceError,
)
from mooring.model.operation import Operation
from mooring.model.resources.consistency import CONSISTENCY_TAG
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_jobs import uploading
from mooring.service import quiescing
from mooring.service.answers import operations
from mooring.service.automatic.taken import check_none_pending
from mooring.backend.backend import Backend, Call, Result


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
    own = [one for one in pending if one.content_id is None]
    if len(own) >= backend.max_pending_snapshots:
        raise InvalidInputException(
            f"The disk {disk.name} has {counted(len(own), 'pending snapshot')}, which is the "
            "limit. Please wait for it to complete before trying again.",
            "PendingSnapshotLimitExceeded",
        )


def enqueue_uploads(
    backend: Backend,
    transaction: Transaction,
    parts: Sequence[DiskSnapshot],
    begun: Sequence[Operation],
) -> list[Operation]:
    """Record the jobs that store the parts; they wait for the freeze.

    The operations end when the last part is stored, or the first has failed.
    """
    waiting = list(begun)
    for one in parts:
        job = uploading(one, backend.clock.now_ms())
        waiting = operations.follow(transaction, job, waiting)
    return waiting


def freeze(
    backend: Backend,
    call: Call,
    whole: Snapshot,
    parts: Sequence[DiskSnapshot],
    result: Result,
) -> Result:
    """Fix the content of the parts' disks at one instant, and confirm what was recorded.

    The disks' users are brought to rest for it, as the disks' tags wish. If that fails, what was
    recorded is taken back. Raises OperationFailureException.
    """
    try:
        with backend.catalog.read() as transaction:
            found = [transaction.disks.by_id(one.disk_id) for one in parts]
        disks = [disk for disk in found if disk is not None]
        if len(disks) < len(parts):
            raise OperationFailureException("A disk was deleted meanwhile: no snapshot was taken.")
        frozen = _freeze(backend, disks, parts)
    except BaseException as error:
        with backend.catalog.write() as transaction:
            transaction.take_back(whole)
        if isinstance(error, ServiceError) or not isinstance(error, MooringError):
            raise
        what = (
            f"disks of the instance {whole.instance_name}"
            if isinstance(whole, InstanceSnapshot)
            else f"disk {whole.disk_name}"
        )
        raise OperationFailureException(
            f"The {what} could not be frozen, so no snapshot was taken: {error}"
        ) from error
    with backend.catalog.write() as transaction:
        for one in parts:
            quiescing.record(transaction, one, frozen)
        transaction.tags.replace(whole.id, {**whole.tags, CONSISTENCY_TAG: frozen.weakest})
        transaction.jobs.confirm(whole.id)
        return call.remember(backend, transaction, result)


def freeze_unasked(
    backend: Backend, disks: Sequence[Disk], parts: Sequence[DiskSnapshot]
) -> Callable[[Transaction], None]:
    """Fix the content of disks at one instant, for a snapshot that no request waits for.

    `parts` are the snapshots of the disks. Their users are brought to rest as their tags wish.
    Returns what confirms the snapshot. Raises OperationFailureException, and what the engine
    raises.
    """
    frozen = _freeze(backend, disks, parts)

    def confirm(transaction: Transaction) -> None:
        for one in parts:
            quiescing.record(transaction, one, frozen)

    return confirm


def _freeze(
    backend: Backend, disks: Sequence[Disk], parts: Sequence[DiskSnapshot]
) -> quiescing.Frozen:
    """Freeze the disks, which are one, or all of an instance."""
    of = disks[0].instance_id
    with backend.catalog.read() as transaction:
        instance = transaction.instances.by_id(of) if of is not None else None
    return quiescing.freeze(backend, instance, disks, {one.disk_id: one.id for one in parts})


def check_frozen(snapshot: Snapshot) -> None:
    """Raise if the request that takes the snapshot is still under way."""
    if not snapshot.frozen:
        raise OperationFailureException(
            f"The snapshot {snapshot.name} is being taken this moment. "
            "Please try again in a few minutes."
        )
