"""Reverts: disks set back to one of their snapshots, in place."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.names import check_name, name_taken
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.finding import find_disk
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.checks import check_freezable
from mooring.service.snapshots.free_name import free_name
from mooring.service.snapshots.named_snapshots import named_snapshot
from mooring.service.using import clients_of
from mooring.taking import recording
from mooring.taking.reverting import Revert, planned, reserve, revert_or_take_back

OPERATION = "RevertDisk"
"""The type of the operation that a revert has in the lists of operations."""


def revert(backend: Backend, context: Context, params: Params) -> Answer:
    """Let the disk `diskName` hold what its snapshot `diskSnapshotName` holds, at once.

    It must not be in use. What it held is kept as the snapshot `keptSnapshotName`, or under a name
    that the answer tells, unless `discard` is given.
    """
    call = Call(context, OPERATION, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    kept = _kept_name(params)
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, call.region, member(params, "diskName"))
    _check_unused(backend, disk)
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, disk.name)
        now = backend.clock.now_ms()
        snapshot = named_snapshot(transaction, call.region, member(params, "diskSnapshotName"), now)
        _check(disk, snapshot)
        if kept is not None:
            check_freezable(backend, transaction, disk)
            kept = _free_name(transaction, disk, kept, now)
        before = recording.of_disk(
            backend, disk, kept or disk.name, now, tags=dict(context.access.tags)
        )
        reverted = planned(backend, disk, snapshot, before, kept=kept is not None)
        reserve(transaction, reverted)
    return revert_or_take_back(
        backend, reverted, lambda transaction: _answer(backend, transaction, call, reverted)
    )


def _answer(backend: Backend, transaction: Transaction, call: Call, done: Revert) -> Answer:
    details = done.snapshot.name
    if not done.kept:
        details += "; what it held before was given up"
    begun = [operations.begin(backend, call, done.disk, details=details, ended=True)]
    if done.kept:
        begun += operations.taken(backend, call, done.before, done.disk)
    told = operations.record(transaction, begun)
    kept = done.before.name if done.kept else None
    return call.remember(backend, transaction, {**told, "keptSnapshotName": kept})


def _kept_name(params: Params) -> str | None:
    """The name of the snapshot to keep; empty for any, None if nothing is to be kept."""
    name = params.get("keptSnapshotName")
    if params.get("discard"):
        if name:
            raise InvalidInputException(
                "Give either keptSnapshotName or discard: what the disk holds is kept, or given up."
            )
        return None
    return check_name(name) if name else ""


def _free_name(transaction: Transaction, disk: Disk, wished: str, now_ms: int) -> str:
    """The name wished for, or one made of the disk's and the time."""
    if wished:
        if taken := transaction.names.taken(disk.region, [wished]):
            raise name_taken(taken)
        return wished
    return free_name(transaction, disk.region, disk.name, "before-revert", now_ms)


def _check(disk: Disk, snapshot: DiskSnapshot) -> None:
    """Raise if the disk cannot be reverted now, or not to that."""
    if disk.state not in (DiskState.AVAILABLE, DiskState.IN_USE):
        raise OperationFailureException(
            f"You can't revert the disk {disk.name} right now. "
            f"The state of this disk is: {disk.state}"
        )
    if disk.attachment not in (Attachment.ATTACHED, Attachment.DETACHED):
        raise OperationFailureException(
            f"You can't revert the disk {disk.name} right now: it is {disk.attachment}. Please try "
            "again in a moment."
        )
    if not disk.descends_from(snapshot.id, snapshot.disk_id):
        of = snapshot.disk_name or "an image file"
        raise InvalidInputException(
            f"The snapshot {snapshot.name} is of {of}, and disks are reverted to snapshots of "
            "their own, or of the disks that they are forks of. For a disk with its content, use "
            "create-disk-from-snapshot."
        )
    if snapshot.state is not SnapshotState.COMPLETED:
        raise OperationFailureException(
            f"You can't revert a disk to the snapshot {snapshot.name} right now. "
            f"The state of this snapshot is: {snapshot.state}"
        )


def _check_unused(backend: Backend, disk: Disk) -> None:
    """Raise OperationFailureException, naming who uses the disk."""
    device = backend.devices.device(disk.id)
    users = backend.devices.users(disk.id) if device is not None else ""
    if users:
        raise _in_use(disk, f"{device} is {users}. Unmount it, and end what has it open")
    # The device is a client itself, which is not in the way.
    clients = clients_of(backend, disk) if device is None else None
    if clients:
        raise _in_use(
            disk,
            f"{clients} is connected to it. Disconnect it or shut that machine down, or cut it "
            "off with stop-instance",
        )


def _in_use(disk: Disk, why: str) -> OperationFailureException:
    return OperationFailureException(
        f"The disk {disk.name} is in use, and a disk in use cannot be reverted: {why}."
    )
