"""The table of questions: what each needs of a key, and which function answers it."""

from __future__ import annotations

from collections.abc import Callable

from mooring.service.absence import absent_places
from mooring.service.access import Request, admit
from mooring.service.backend import Backend, Params
from mooring.service.context import Context
from mooring.service.entry import Entry, Takes, Use, administers, changes, reads
from mooring.service.own.automatic import automatic
from mooring.service.own.disks import device, disk, disks, uri
from mooring.service.own.imports import import_place, import_snapshot
from mooring.service.own.own_request import Answer, Question
from mooring.service.own.snapshots import export, export_record, instance_snapshot, snapshot
from mooring.service.own.threads import threads
from mooring.service.own.vault import diff, usage
from mooring.service.reach import Through
from mooring.service.vault_presence import check_vaults

# `uri`, `device` and `export` open a way to the data, which is more than to tell.
QUESTIONS: dict[str, Entry[Question]] = {
    "uri": changes(uri, on=["diskName"]),
    "device": changes(device, on=["diskName"]),
    "disk": reads(disk, on=["diskName"]),
    "disks": administers(disks),
    "automatic": administers(automatic),
    "export": changes(export, on=["diskSnapshotName"], through=Through.AUTOMATIC, vault=Use.READ),
    "export-record": reads(export_record),
    "instance-snapshot": reads(
        instance_snapshot, on=["instanceSnapshotName"], through=Through.AUTOMATIC
    ),
    "import-place": changes(import_place),
    "import": changes(
        import_snapshot,
        makes="diskSnapshotName",
        notes=["place"],
        takes=[Takes.VAULT],
        vault=Use.WRITE,
    ),
    "snapshot": reads(snapshot, on=["diskSnapshotName"], through=Through.AUTOMATIC),
    "diff": reads(diff, on=["diskSnapshotName", "fromDiskSnapshotName"], through=Through.AUTOMATIC),
    "usage": reads(usage),
    "absent": administers(absent_places),
    "threads": administers(threads),
}


def question_handlers(backend: Backend) -> dict[str, Callable[[Context, Params], Answer]]:
    """The function for each question, ready to be called with a context and members."""

    def bound(name: str, entry: Entry[Question]) -> Callable[[Context, Params], Answer]:
        def handle(context: Context, params: Params) -> Answer:
            admitted = admit(backend, Request(context, f"mooring:{name}", entry, params))
            check_vaults(backend, entry, context.region, params)
            backend.check_room(entry.takes, context.region)
            return entry.function(admitted, context, params)

        return handle

    return {name: bound(name, entry) for name, entry in QUESTIONS.items()}
