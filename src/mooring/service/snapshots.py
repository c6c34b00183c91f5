"""Snapshots: taking them, showing them, deleting them."""

from __future__ import annotations

import math

from mooring.catalog.database import Transaction
from mooring.model.disk import Disk, DiskState
from mooring.model.errors import (
    InvalidInputException,
    MooringError,
    OperationFailureException,
)
from mooring.model.job import JobKind
from mooring.model.names import check_name, name_taken, shown
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.model.tags import read_tags
from mooring.observe import metrics
from mooring.service import operations, pages
from mooring.service.backend import Backend, Call, Result
from mooring.service.disks import find_disk, find_snapshot
from mooring.service.views import snapshot_view


def create_disk_snapshot(backend: Backend, call: Call) -> Result:
    """CreateDiskSnapshot: the content is fixed when this returns; storing it comes after.

    The snapshot and its job are recorded before the freeze and confirmed after it. What a
    crash between leaves is found at the next start and completed or taken back.
    """
    snapshot_name = _check_source(call)
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, call.params["diskName"])
        snapshot, result = _reserve(backend, transaction, call, disk, snapshot_name)
    try:
        freeze = backend.engine(disk.zone).freeze({disk.id: snapshot.id})
    except BaseException as error:
        with backend.catalog.write() as transaction:
            transaction.take_back(snapshot)
        if not isinstance(error, MooringError):
            raise
        raise OperationFailureException(
            f"The disk {disk.name} could not be frozen, so no snapshot was taken: {error}"
        ) from error
    metrics.frozen(freeze.pause_seconds)
    with backend.catalog.write() as transaction:
        # Rounded up: a pause is never called shorter than it was.
        pause_us = math.ceil(freeze.pause_seconds * 1e6)
        transaction.snapshots.change(snapshot.id, frozen=True, pause_us=pause_us)
        transaction.jobs.let_go(snapshot.id)
        return call.remember(backend, transaction, result)


def get_disk_snapshot(backend: Backend, call: Call) -> Result:
    """GetDiskSnapshot."""
    with backend.catalog.read() as transaction:
        snapshot = find_snapshot(transaction, call.region, call.params["diskSnapshotName"])
    return {"diskSnapshot": snapshot_view(backend, snapshot)}


def get_disk_snapshots(backend: Backend, call: Call) -> Result:
    """GetDiskSnapshots: in the order of their making."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.snapshots.page(call.region, after, pages.SIZE)
    return {
        "diskSnapshots": [snapshot_view(backend, snapshot) for snapshot in found],
        "nextPageToken": pages.token(more),
    }


def delete_disk_snapshot(backend: Backend, call: Call) -> Result:
    """DeleteDiskSnapshot: gone for clients at once; a pending one is cancelled."""
    with backend.catalog.write() as transaction:
        snapshot = find_snapshot(transaction, call.region, call.params["diskSnapshotName"])
        if not snapshot.frozen:
            raise OperationFailureException(
                f"The snapshot {snapshot.name} is being taken this moment. "
                "Please try again in a few minutes."
            )
        transaction.snapshots.remove(snapshot)
        # One that is still being stored is deleted after its upload has noticed.
        pending = snapshot.state is SnapshotState.PENDING
        operations.enqueue(
            backend,
            transaction,
            JobKind.DELETE_SNAPSHOT,
            snapshot.disk_id if pending else snapshot.id,
            snapshot.region,
            {"snapshot": snapshot.id, "disk": snapshot.disk_id, "zone": snapshot.disk_zone},
        )
        ended = [operations.begin(backend, call, snapshot, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def _check_source(call: Call) -> str:
    params = call.params
    name = check_name(params["diskSnapshotName"])
    if bool(params.get("diskName")) == bool(params.get("instanceName")):
        raise InvalidInputException(
            "Give either diskName or instanceName: the disk to take the snapshot of."
        )
    if params.get("instanceName"):
        raise InvalidInputException(
            "The instances of Mooring have no system disk to take a snapshot of: "
            f"give diskName instead of instanceName {shown(params['instanceName'])}.",
            "UnsupportedOperation",
        )
    return name


def _reserve(
    backend: Backend, transaction: Transaction, call: Call, disk: Disk, name: str
) -> tuple[DiskSnapshot, Result]:
    """Record the snapshot, its operations and its job, which waits for the freeze."""
    if taken := transaction.names.taken(call.region, [name]):
        raise name_taken(taken)
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
    snapshot = DiskSnapshot(
        id=backend.ids.new_id(),
        region=call.region,
        name=name,
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("snap"),
        size_gb=disk.size_gb,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=disk.zone,
        tags=read_tags(call.params.get("tags") or []),
    )
    transaction.snapshots.add(snapshot)
    started = operations.enqueue(
        backend,
        transaction,
        JobKind.UPLOAD_SNAPSHOT,
        disk.id,
        disk.region,
        {"snapshot": snapshot.id, "disk": disk.id, "zone": disk.zone},
        [
            operations.begin(backend, call, snapshot, details=disk.name),
            operations.begin(backend, call, disk, details=snapshot.name),
        ],
        job_id=snapshot.id,
        held=True,
    )
    return snapshot, operations.record(transaction, started)
