"""The one table of own requests: what answers each, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mooring.backend.backend import Backend
from mooring.service.absence import absent_places
from mooring.service.access import Request, admit
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.entry import Entry, Takes, Use, administers, changes, reads
from mooring.service.own.automatic import automatic
from mooring.service.own.blueprints import create_blueprint, delete_blueprint
from mooring.service.own.disks import device, disk, disks, uri
from mooring.service.own.fencing import fence, restore_host
from mooring.service.own.forks import fork, fork_instance
from mooring.service.own.growth import grow
from mooring.service.own.imports import import_place, import_snapshot
from mooring.service.own.looking_after import LOOKING_AFTER
from mooring.service.own.moves import move_disk, move_instance
from mooring.service.own.outside import tcp_uri
from mooring.service.own.overview import list_disks, list_instances, list_snapshots, status
from mooring.service.own.own_request import (
    FLAG,
    NUMBER,
    TAGS,
    TEXT,
    Answer,
    Function,
    OwnRequest,
    acts,
    asks,
)
from mooring.service.own.reverts import revert
from mooring.service.own.snapshots import (
    export_record,
    grant,
    instance_snapshot,
    snapshot,
    withdraw,
)
from mooring.service.own.threads import threads
from mooring.service.own.vault import diff, usage
from mooring.service.reach import Through
from mooring.service.room import check_room
from mooring.service.tries import Tries
from mooring.service.vault_presence import check_vaults

OWN_REQUESTS: dict[str, OwnRequest] = {
    # It opens a way to the data, which is more than to tell.
    "uri": asks(
        changes(uri, on=["diskName", "instanceName"], through=Through.DISKS),
        "diskName",
        "instanceName",
    ),
    "tcp-uri": acts(
        changes(tcp_uri, on=["diskName", "instanceName"], through=Through.DISKS),
        diskName=TEXT,
        instanceName=TEXT,
        close=FLAG,
    ),
    "disk": asks(reads(disk, on=["diskName"]), "diskName"),
    "disks": asks(administers(disks), "pageToken"),
    "automatic": asks(administers(automatic)),
    "status": asks(reads(status, shared=True)),
    "list-disks": asks(reads(list_disks), "pageToken"),
    "list-instances": asks(reads(list_instances), "pageToken"),
    "list-snapshots": asks(reads(list_snapshots), "diskName", "pageToken"),
    "export-record": asks(reads(export_record), "exportSnapshotRecordName"),
    "instance-snapshot": asks(
        reads(instance_snapshot, on=["instanceSnapshotName"], through=Through.AUTOMATIC),
        "instanceSnapshotName",
    ),
    "snapshot": asks(
        reads(snapshot, on=["diskSnapshotName"], through=Through.AUTOMATIC), "diskSnapshotName"
    ),
    "diff": asks(
        reads(diff, on=["diskSnapshotName", "fromDiskSnapshotName"], through=Through.AUTOMATIC),
        "diskSnapshotName",
        "fromDiskSnapshotName",
        "startOffset",
    ),
    "usage": asks(reads(usage), "pageToken"),
    "absent": asks(administers(absent_places)),
    "threads": asks(administers(threads)),
    "device": acts(changes(device, on=["diskName"]), diskName=TEXT),
    "grow": acts(
        changes(grow, on=["diskName"], takes=[Takes.DISKS]), diskName=TEXT, sizeInGb=NUMBER
    ),
    "move-instance": acts(
        changes(
            move_instance,
            on=["instanceName"],
            notes=["hostName"],
            inherits=True,
            through=Through.DISKS,
            takes=[Takes.VAULT],
            vault=Use.WRITE,
        ),
        instanceName=TEXT,
        hostName=TEXT,
    ),
    "move-disk": acts(
        changes(
            move_disk,
            on=["diskName"],
            notes=["hostName"],
            inherits=True,
            takes=[Takes.VAULT],
            vault=Use.WRITE,
        ),
        diskName=TEXT,
        hostName=TEXT,
    ),
    "fence": acts(administers(fence), hostName=TEXT, force=FLAG),
    "restore-host": acts(administers(restore_host), hostName=TEXT, targetName=TEXT),
    "fork": acts(
        changes(
            fork,
            on=["diskName"],
            makes="newDiskName",
            notes=["diskSnapshotName"],
            takes=[Takes.DISKS],
        ),
        diskName=TEXT,
        newDiskName=TEXT,
        availabilityZone=TEXT,
        diskSnapshotName=TEXT,
        sizeInGb=NUMBER,
        tags=TAGS,
    ),
    "fork-instance": acts(
        changes(
            fork_instance,
            on=["instanceName"],
            makes="newInstanceName",
            notes=["instanceSnapshotName"],
            takes=[Takes.DISKS],
            through=Through.DISKS,
        ),
        instanceName=TEXT,
        newInstanceName=TEXT,
        instanceSnapshotName=TEXT,
        tags=TAGS,
    ),
    "revert": acts(
        changes(
            revert,
            on=["diskName", "diskSnapshotName"],
            makes="keptSnapshotName",
            inherits=True,
            through=Through.AUTOMATIC,
            takes=[Takes.DISKS],
            vault=Use.READ,
        ),
        diskName=TEXT,
        diskSnapshotName=TEXT,
        keptSnapshotName=TEXT,
        discard=FLAG,
    ),
    "grant": acts(
        changes(grant, on=["diskSnapshotName"], through=Through.AUTOMATIC, vault=Use.READ),
        diskSnapshotName=TEXT,
        seconds=NUMBER,
        idleSeconds=NUMBER,
        tcp=FLAG,
    ),
    "withdraw": acts(changes(withdraw), export=TEXT),
    "import-place": acts(changes(import_place)),
    "import": acts(
        changes(
            import_snapshot,
            makes="diskSnapshotName",
            notes=["place"],
            takes=[Takes.VAULT],
            vault=Use.WRITE,
        ),
        diskSnapshotName=TEXT,
        place=TEXT,
        sizeInGb=NUMBER,
        blueprintPlatform=TEXT,
        tags=TAGS,
    ),
    "blueprint": acts(
        changes(
            create_blueprint,
            on=["diskSnapshotName"],
            makes="blueprintId",
            through=Through.AUTOMATIC,
            takes=[Takes.VAULT],
            vault=Use.WRITE,
        ),
        blueprintId=TEXT,
        diskSnapshotName=TEXT,
        platform=TEXT,
        tags=TAGS,
    ),
    "delete-blueprint": acts(
        changes(delete_blueprint, on=["blueprintId"]),
        blueprintId=TEXT,
    ),
    **LOOKING_AFTER,
}


def own_handlers(
    backend: Backend, requests: Mapping[str, OwnRequest] = OWN_REQUESTS
) -> dict[str, Callable[[Context, Params], Answer]]:
    """The function for each own request, ready to be called with a context and members."""

    tries = Tries()

    def bound(name: str, entry: Entry[Function]) -> Callable[[Context, Params], Answer]:
        def handle(context: Context, params: Params) -> Answer:
            admitted = admit(backend, Request(context, f"mooring:{name}", entry, params))
            check_vaults(backend, entry, context.region, params)
            roomy = check_room(admitted, entry, context.region, params)
            with tries.alone(context):
                return entry.function(roomy, context, params)

        return handle

    return {name: bound(name, one.entry) for name, one in requests.items()}
