"""Instance snapshots: all disks of an instance at one instant."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import OperationFailureException
from mooring.model.names import check_name, name_taken
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import in_motion
from mooring.service.answers import operations, pages
from mooring.service.answers.views import instance_snapshot_view
from mooring.service.automatic.taken import check_none_pending
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance, find_instance_snapshot
from mooring.service.snapshots.checks import check_freezable, check_frozen
from mooring.taking import freezing, recording


def create_instance_snapshot(backend: Backend, call: Call) -> Result:
    """CreateInstanceSnapshot: the disks' content is fixed when this returns.

    It goes like CreateDiskSnapshot, with one freeze for all attached disks. There is no system
    disk here: of an instance without disks there is nothing to store.
    """
    name = check_name(call.params["instanceSnapshotName"])
    tags = read_given_tags(ResourceType.INSTANCE_SNAPSHOT, call.params.get("tags") or [])
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        if taken := transaction.names.taken(call.region, [name]):
            raise name_taken(taken)
        backend.engine(instance.zone)
        disks = transaction.disks.of_instance(instance.id)
        _check_at_rest(instance, disks)
        check_none_pending(instance, transaction.automatic_of(instance.id))
        for disk in disks:
            check_freezable(backend, transaction, disk)
        now = backend.clock.now_ms()
        whole = recording.of_instance(backend, instance, disks, name, now, tags=tags)
        recording.reserve(transaction, whole)
        ended = not disks
        begun = [
            operations.begin(backend, call, whole, details=instance.name, ended=ended),
            operations.begin(backend, call, instance, details=whole.name, ended=ended),
        ]
        if not disks:
            return operations.reply(backend, transaction, call, begun)
        result = operations.record(transaction, operations.waiting(begun, whole.id))
    return freezing.freeze_or_take_back(
        backend, whole, lambda transaction: call.remember(backend, transaction, result)
    )


def get_instance_snapshot(backend: Backend, call: Call) -> Result:
    """GetInstanceSnapshot."""
    name = call.params["instanceSnapshotName"]
    with backend.catalog.read() as transaction:
        found = find_instance_snapshot(transaction, call.region, name)
    return {"instanceSnapshot": instance_snapshot_view(backend, found)}


def get_instance_snapshots(backend: Backend, call: Call) -> Result:
    """GetInstanceSnapshots: in the order of their making."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.instance_snapshots.page(call.region, after, pages.SIZE)
    return {
        "instanceSnapshots": [instance_snapshot_view(backend, one) for one in found],
        "nextPageToken": pages.token(more),
    }


def delete_instance_snapshot(backend: Backend, call: Call) -> Result:
    """DeleteInstanceSnapshot: gone for clients at once, with its parts."""
    name = call.params["instanceSnapshotName"]
    with backend.catalog.write() as transaction:
        found = find_instance_snapshot(transaction, call.region, name)
        check_frozen(found)
        recording.discard(transaction, found, backend.ids, backend.clock.now_ms())
        ended = [operations.begin(backend, call, found, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def _check_at_rest(instance: Instance, disks: list[Disk]) -> None:
    """Only while nothing comes or goes it is clear which disks belong to the snapshot."""
    moving = in_motion(instance, disks)
    if isinstance(moving, Instance):
        raise OperationFailureException(
            "You can't create a snapshot of this instance right now. "
            f"The state of this instance is: {instance.state.label}"
        )
    if moving is not None:
        raise OperationFailureException(
            f"The disk {moving.name} of the instance {instance.name} is {moving.attachment}. "
            "Please try again in a few minutes."
        )
