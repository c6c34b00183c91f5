"""The one table of operations: what answers each, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mooring.backend.backend import Backend
from mooring.model.access import Need
from mooring.model.errors import HostElsewhereException, ServiceError
from mooring.service import disks, regions, tags
from mooring.service.access import Request, admit, shown_to
from mooring.service.answers import nothing_kept, operations
from mooring.service.automatic import add_ons, taken
from mooring.service.call import Call, Params, Result
from mooring.service.context import Context
from mooring.service.entry import Entry, Takes, Use, changes, reads
from mooring.service.instances import (
    attachments,
    instance_settings,
    instances,
    key_pairs,
    static_ips,
)
from mooring.service.reach import Through
from mooring.service.room import check_room
from mooring.service.snapshots import (
    copies,
    image_files,
    instance_snapshots,
    restored_instances,
    snapshots,
)
from mooring.service.tries import Tries
from mooring.service.vault_presence import check_vaults

Function = Callable[[Backend, Call], Result]
Handler = Callable[[Context, Params], Mapping[str, Any]]

OPERATIONS: dict[str, Entry[Function]] = {
    "AllocateStaticIp": changes(static_ips.allocate_static_ip, makes="staticIpName", inherits=True),
    "AttachDisk": changes(attachments.attach_disk, on=["diskName", "instanceName"]),
    "AttachStaticIp": changes(static_ips.attach_static_ip, on=["staticIpName", "instanceName"]),
    "CloseInstancePublicPorts": changes(
        instance_settings.close_instance_public_ports, on=["instanceName"]
    ),
    "CopySnapshot": changes(
        copies.copy_snapshot,
        on=["sourceSnapshotName", "sourceResourceName"],
        region="sourceRegion",
        makes="targetSnapshotName",
        through=Through.AUTOMATIC,
        takes=[Takes.VAULT],
        vault=Use.WRITE,
    ),
    "CreateDisk": changes(disks.create_disk, makes="diskName", takes=[Takes.DISKS]),
    "CreateDiskFromSnapshot": changes(
        disks.create_disk_from_snapshot,
        on=["diskSnapshotName", "sourceDiskName"],
        makes="diskName",
        takes=[Takes.DISKS],
        vault=Use.READ,
    ),
    "CreateDiskSnapshot": changes(
        snapshots.create_disk_snapshot,
        on=["diskName", "instanceName"],
        makes="diskSnapshotName",
        through=Through.DISKS,
        takes=[Takes.DISKS, Takes.VAULT],
        vault=Use.WRITE,
    ),
    "CreateInstanceSnapshot": changes(
        instance_snapshots.create_instance_snapshot,
        on=["instanceName"],
        makes="instanceSnapshotName",
        through=Through.DISKS,
        takes=[Takes.DISKS, Takes.VAULT],
        vault=Use.WRITE,
    ),
    "CreateInstances": changes(instances.create_instances, makes="instanceNames"),
    "CreateInstancesFromSnapshot": changes(
        restored_instances.create_instances_from_snapshot,
        on=["instanceSnapshotName", "sourceInstanceName"],
        makes="instanceNames",
        through=Through.AUTOMATIC,
        takes=[Takes.DISKS],
        vault=Use.READ,
    ),
    "CreateKeyPair": changes(key_pairs.create_key_pair, makes="keyPairName"),
    "DeleteAutoSnapshot": changes(
        taken.delete_auto_snapshot, on=["resourceName"], through=Through.AUTOMATIC
    ),
    "DeleteDisk": changes(disks.delete_disk, on=["diskName"]),
    "DeleteDiskSnapshot": changes(snapshots.delete_disk_snapshot, on=["diskSnapshotName"]),
    "DeleteInstance": changes(
        instances.delete_instance,
        on=["instanceName"],
        through=Through.DISKS | Through.AUTOMATIC | Through.STATIC_IP,
    ),
    "DeleteInstanceSnapshot": changes(
        instance_snapshots.delete_instance_snapshot, on=["instanceSnapshotName"]
    ),
    "DeleteKeyPair": changes(key_pairs.delete_key_pair, on=["keyPairName"]),
    "DetachDisk": changes(attachments.detach_disk, on=["diskName"]),
    "DetachStaticIp": changes(static_ips.detach_static_ip, on=["staticIpName"]),
    "DisableAddOn": changes(add_ons.disable_add_on, on=["resourceName"], through=Through.DISKS),
    "DownloadDefaultKeyPair": changes(key_pairs.download_default_key_pair, shared=True),
    "EnableAddOn": changes(add_ons.enable_add_on, on=["resourceName"], through=Through.DISKS),
    "ExportSnapshot": changes(
        image_files.export_snapshot,
        on=["sourceSnapshotName"],
        takes=[Takes.IMAGE_FILES],
        vault=Use.READ,
    ),
    "GetActiveNames": reads(regions.get_active_names),
    "GetAutoSnapshots": reads(taken.get_auto_snapshots, on=["resourceName"]),
    "GetBlueprints": reads(regions.get_blueprints),
    "GetBundles": reads(regions.get_bundles),
    "GetDisk": reads(disks.get_disk, on=["diskName"]),
    "GetDiskSnapshot": reads(snapshots.get_disk_snapshot, on=["diskSnapshotName"]),
    "GetDiskSnapshots": reads(snapshots.get_disk_snapshots),
    "GetDisks": reads(disks.get_disks),
    "GetExportSnapshotRecords": reads(image_files.get_export_snapshot_records),
    "GetInstance": reads(instances.get_instance, on=["instanceName"]),
    "GetInstancePortStates": reads(instance_settings.get_instance_port_states, on=["instanceName"]),
    "GetInstanceSnapshot": reads(
        instance_snapshots.get_instance_snapshot, on=["instanceSnapshotName"]
    ),
    "GetInstanceSnapshots": reads(instance_snapshots.get_instance_snapshots),
    "GetInstanceState": reads(instances.get_instance_state, on=["instanceName"]),
    "GetInstances": reads(instances.get_instances),
    "GetKeyPair": reads(key_pairs.get_key_pair, on=["keyPairName"]),
    "GetKeyPairs": reads(key_pairs.get_key_pairs),
    "GetOperation": reads(operations.get_operation),
    "GetOperations": reads(operations.get_operations),
    "GetOperationsForResource": reads(operations.get_operations_for_resource, on=["resourceName"]),
    "GetRegions": reads(regions.get_regions),
    "GetStaticIp": reads(static_ips.get_static_ip, on=["staticIpName"]),
    "GetStaticIps": reads(static_ips.get_static_ips),
    "ImportKeyPair": changes(key_pairs.import_key_pair, makes="keyPairName", inherits=True),
    "IsVpcPeered": reads(instance_settings.is_vpc_peered),
    "OpenInstancePublicPorts": changes(
        instance_settings.open_instance_public_ports, on=["instanceName"]
    ),
    "PutInstancePublicPorts": changes(
        instance_settings.put_instance_public_ports, on=["instanceName"]
    ),
    "RebootInstance": changes(
        instances.reboot_instance, on=["instanceName"], through=Through.DISKS
    ),
    "ReleaseStaticIp": changes(static_ips.release_static_ip, on=["staticIpName"]),
    "SetIpAddressType": changes(instance_settings.set_ip_address_type, on=["resourceName"]),
    "StartInstance": changes(instances.start_instance, on=["instanceName"], through=Through.DISKS),
    "StopInstance": changes(instances.stop_instance, on=["instanceName"], through=Through.DISKS),
    "TagResource": changes(tags.tag_resource, on=["resourceName"], through=Through.DISKS),
    "UntagResource": changes(tags.untag_resource, on=["resourceName"], through=Through.DISKS),
    "UpdateInstanceMetadataOptions": changes(
        instance_settings.update_instance_metadata_options, on=["instanceName"]
    ),
    **{name: reads(nothing_kept.empty({key: []})) for name, key in nothing_kept.LISTS.items()},
    **{name: reads(nothing_kept.empty(told)) for name, told in nothing_kept.NOTHING.items()},
}


def handlers(backend: Backend) -> dict[str, Handler]:
    """The function for each operation, ready to be called with a context and an input.

    Besides what the function raises, each raises AccessDeniedException.
    """

    tries = Tries()

    def reading(name: str, entry: Entry[Function]) -> Handler:
        def handle(context: Context, params: Params) -> Result:
            admitted = admit(backend, Request(context, action(name), entry, params))
            result = entry.function(admitted, Call(context, name, params))
            return shown_to(context.access, result)

        return handle

    def changing(name: str, entry: Entry[Function]) -> Handler:
        def handle(context: Context, params: Params) -> Result:
            admitted = admit(backend, Request(context, action(name), entry, params))
            call = Call(context, name, params)
            with tries.alone(context):
                result = call.recall(backend)
                if result is None:
                    check_vaults(backend, entry, context.region, params)
                    roomy = check_room(admitted, entry, context.region, params)
                    result = _done_or_known(backend, entry, roomy, call)
            return result

        return handle

    return {
        name: (reading if entry.need is Need.READ else changing)(name, entry)
        for name, entry in OPERATIONS.items()
    }


def _done_or_known(backend: Backend, entry: Entry[Function], roomy: Backend, call: Call) -> Result:
    """The result; that of another try, if this one found that done at another server just now."""
    try:
        return entry.function(roomy, call)
    except HostElsewhereException:
        raise
    except ServiceError:
        if (known := call.recall(backend)) is None:
            raise
        return known


def action(operation: str) -> str:
    """The operation as the policies of AWS name it."""
    return f"lightsail:{operation}"
