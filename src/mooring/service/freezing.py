"""Taking snapshots: what those of disks and of instances have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mooring.catalog.database import Transaction
from mooring.model.disk import Disk, DiskState
from mooring.model.errors import (
    InvalidInputException,
    MooringError,
    OperationFailureException,
)
from mooring.model.instance_snapshot import InstanceSnapshot
from mooring.model.job import JobKind
from mooring.model.operation import Operation
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.observe import metrics
from mooring.service import operations
from mooring.service.backend import Backend, Call, Result


def check_freezable(backend: Backend, transaction: Transaction, disk: Disk) -> None:
    """Raise if a snapshot of the disk cannot be taken now."""
    if disk.state not in (DiskState.AVAILABLE, DiskState.IN_USE):
        raise OperationFailureException(
            "You can't create a snapshot of this disk right now. "
            f"The state of this disk is: {disk.state}"
        )
    pending = transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
    if len(pending) >= backend.max_pending_snapshots:
        raise InvalidInputException(
            f"The disk {disk.name} has {len(pending)} pending snapshots, which is the limit. "
            "Please wait for it to complete before trying again.",
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
        waiting = operations.enqueue(
            backend,
            transaction,
            JobKind.UPLOAD_SNAPSHOT,
            one.disk_id,
            one.region,
            {"snapshot": one.id, "disk": one.disk_id, "zone": one.disk_zone},
            waiting,
            job_id=one.id,
            group=one.part_of,
            held=True,
        )
    return waiting


def freeze(
    backend: Backend,
    call: Call,
    whole: DiskSnapshot | InstanceSnapshot,
    parts: Sequence[DiskSnapshot],
    result: Result,
) -> Result:
    """Fix the content of the parts' disks at one instant, and confirm what was recorded.

    If that fails, what was recorded is taken back. Raises OperationFailureException.
    """
    try:
        points = {one.disk_id: one.id for one in parts}
        frozen = backend.engine(parts[0].disk_zone).freeze(points)
    except BaseException as error:
        with backend.catalog.write() as transaction:
            transaction.take_back(whole)
        if not isinstance(error, MooringError):
            raise
        what = (
            f"disks of the instance {whole.instance_name}"
            if isinstance(whole, InstanceSnapshot)
            else f"disk {whole.disk_name}"
        )
        raise OperationFailureException(
            f"The {what} could not be frozen, so no snapshot was taken: {error}"
        ) from error
    metrics.frozen(frozen.pause_seconds)
    with backend.catalog.write() as transaction:
        # Rounded up: a pause is never called shorter than it was.
        pause_us = math.ceil(frozen.pause_seconds * 1e6)
        for one in parts:
            transaction.snapshots.change(one.id, frozen=True, pause_us=pause_us)
        transaction.jobs.let_go(whole.id)
        return call.remember(backend, transaction, result)


def enqueue_deletion(backend: Backend, transaction: Transaction, one: DiskSnapshot) -> None:
    """Record the job that deletes a snapshot, or a part of one, whose row is gone."""
    # One that is still being stored is deleted after its upload has noticed.
    pending = one.state is SnapshotState.PENDING
    operations.enqueue(
        backend,
        transaction,
        JobKind.DELETE_SNAPSHOT,
        one.disk_id if pending else one.id,
        one.region,
        {"snapshot": one.id, "disk": one.disk_id, "zone": one.disk_zone},
    )


def check_frozen(snapshot: DiskSnapshot | InstanceSnapshot) -> None:
    """Raise if the request that takes the snapshot is still under way."""
    if not snapshot.frozen:
        raise OperationFailureException(
            f"The snapshot {snapshot.name} is being taken this moment. "
            "Please try again in a few minutes."
        )
