"""Snapshots: taking them, showing them, deleting them."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.names import check_name, name_taken
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations, pages
from mooring.service.answers.snapshot_views import snapshot_view
from mooring.service.call import Call, Result
from mooring.service.finding import find_disk, find_snapshot, find_system_disk
from mooring.service.snapshots.checks import check_freezable, check_frozen
from mooring.taking import freezing, recording


def create_disk_snapshot(backend: Backend, call: Call) -> Result:
    """CreateDiskSnapshot: the content is fixed when this returns; storing it comes after.

    The snapshot and its job are recorded before the freeze and confirmed after it. What a
    crash between leaves is found at the next start and completed or taken back.
    """
    snapshot_name = _check_source(call)
    with backend.catalog.write() as transaction:
        disk, instance = _source(transaction, call)
        snapshot, result = _reserve(backend, transaction, call, disk, instance, snapshot_name)
    return freezing.freeze_or_take_back(
        backend, snapshot, lambda transaction: call.remember(backend, transaction, result)
    )


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
        if snapshot.blueprint is not None:
            raise OperationFailureException(
                f"The snapshot {snapshot.name} is a blueprint, of which instances are made. To "
                f"delete it: mooring delete-blueprint --blueprint-id {snapshot.name}"
            )
        check_frozen(snapshot)
        recording.discard(transaction, snapshot, backend.ids, backend.clock.now_ms())
        ended = [operations.begin(backend, call, snapshot, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def _check_source(call: Call) -> str:
    params = call.params
    name = check_name(params["diskSnapshotName"])
    if ("diskName" in params) == ("instanceName" in params):
        raise InvalidInputException(
            "Give either diskName or instanceName: the disk to take the snapshot of."
        )
    return name


def _source(transaction: Transaction, call: Call) -> tuple[Disk, Instance | None]:
    """The disk to take the snapshot of, and the instance whose system disk it is asked for as."""
    params = call.params
    if "diskName" in params:
        return find_disk(transaction, call.region, params["diskName"]), None
    instance, disk = find_system_disk(transaction, call.region, params["instanceName"])
    if disk.attachment is not Attachment.ATTACHED:
        raise OperationFailureException(
            f"The disk {disk.name} is {disk.attachment} at the instance {instance.name} right now. "
            "Please try again in a few minutes."
        )
    return disk, instance


def _reserve(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    disk: Disk,
    instance: Instance | None,
    name: str,
) -> tuple[DiskSnapshot, Result]:
    """Record the snapshot, its operations and its job, which waits for the freeze."""
    if taken := transaction.names.taken(call.region, [name]):
        raise name_taken(taken)
    check_freezable(backend, transaction, disk)
    tags = read_given_tags(ResourceType.DISK_SNAPSHOT, call.params.get("tags") or [])
    now = backend.clock.now_ms()
    snapshot = recording.of_disk(backend, disk, name, now, tags=tags, instance=instance)
    recording.reserve(transaction, snapshot)
    source = disk if instance is None else instance
    begun = operations.taken(backend, call, snapshot, source)
    return snapshot, operations.record(transaction, begun)
