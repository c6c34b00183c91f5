"""Instance snapshots: all disks of an instance at one instant."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.names import check_name, name_taken
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.service.answers import operations, pages
from mooring.service.answers.snapshot_views import instance_snapshot_view
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance, find_instance_snapshot
from mooring.service.snapshots.checks import check_frozen, check_instance_freezable
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
        disks = transaction.disks.of_instance(instance.id)
        check_instance_freezable(backend, transaction, instance, disks)
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
