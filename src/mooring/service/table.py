"""The one table of operations: each name and the function that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mooring.service import (
    attachments,
    disks,
    instances,
    operations,
    regions,
    snapshots,
    tags,
)
from mooring.service.backend import Backend, Call, Params, Result
from mooring.service.context import Context

Function = Callable[[Backend, Call], Result]
Handler = Callable[[Context, Params], Mapping[str, Any]]

READING: dict[str, Function] = {
    "GetActiveNames": regions.get_active_names,
    "GetBlueprints": regions.get_blueprints,
    "GetBundles": regions.get_bundles,
    "GetDisk": disks.get_disk,
    "GetDiskSnapshot": snapshots.get_disk_snapshot,
    "GetDiskSnapshots": snapshots.get_disk_snapshots,
    "GetDisks": disks.get_disks,
    "GetInstance": instances.get_instance,
    "GetInstanceState": instances.get_instance_state,
    "GetInstances": instances.get_instances,
    "GetOperation": operations.get_operation,
    "GetOperations": operations.get_operations,
    "GetOperationsForResource": operations.get_operations_for_resource,
    "GetRegions": regions.get_regions,
}

CHANGING: dict[str, Function] = {
    "AttachDisk": attachments.attach_disk,
    "CreateDisk": disks.create_disk,
    "CreateDiskFromSnapshot": disks.create_disk_from_snapshot,
    "CreateDiskSnapshot": snapshots.create_disk_snapshot,
    "CreateInstances": instances.create_instances,
    "DeleteDisk": disks.delete_disk,
    "DeleteDiskSnapshot": snapshots.delete_disk_snapshot,
    "DeleteInstance": instances.delete_instance,
    "DetachDisk": attachments.detach_disk,
    "StartInstance": instances.start_instance,
    "StopInstance": instances.stop_instance,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
}


def handlers(backend: Backend) -> dict[str, Handler]:
    """The function for each operation, ready to be called with a context and an input."""

    def reading(name: str, function: Function) -> Handler:
        return lambda context, params: function(backend, Call(context, name, params))

    def changing(name: str, function: Function) -> Handler:
        def handle(context: Context, params: Params) -> Result:
            call = Call(context, name, params)
            result = call.recall(backend)
            if result is None:
                result = function(backend, call)
                backend.wake()
            return result

        return handle

    return {
        **{name: reading(name, function) for name, function in READING.items()},
        **{name: changing(name, function) for name, function in CHANGING.items()},
    }
