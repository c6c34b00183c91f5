"""What Mooring tells beyond Lightsail's API: `GET /mooring/<name>?<member>=<value>`, signed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from mooring.engine.interface import DiskHealth
from mooring.model.blueprints import HOST
from mooring.model.disk import Attachment, Disk, DiskState
from mooring.model.errors import (
    ConfigurationError,
    DiskBusyError,
    HostError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.instance import Instance, InstanceState
from mooring.model.names import check_name
from mooring.model.sizes import size_in_bytes
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.service.access import Request, admit, shown_to
from mooring.service.backend import Backend, Params
from mooring.service.context import Context
from mooring.service.disks import find_disk, find_snapshot
from mooring.service.entry import Entry, administers, changes, reads
from mooring.service.imports import import_snapshot
from mooring.service.instance_snapshots import find_instance_snapshot

Answer = dict[str, Any]
Question = Callable[[Backend, Context, Params], Answer]

DIFF_PAGE = 10_000
"""Ranges in one answer: about half a MiB of JSON."""

EXPORT_SECONDS = 60 * 60
LONGEST_EXPORT_SECONDS = 24 * 60 * 60


def uri(backend: Backend, context: Context, params: Params) -> Answer:
    """The NBD URI of the disk `diskName`, which must be attached to a running instance."""
    disk, instance = _served(backend, context, params)
    return {"diskName": disk.name, "uri": backend.engine(disk.zone).uri(instance.id, disk.name)}


def device(backend: Backend, context: Context, params: Params) -> Answer:
    """The block device of the disk `diskName`, which must be attached to this host.

    One that was broken and that nobody uses is made anew first.
    """
    disk, instance = _served(backend, context, params)
    if instance.blueprint_id != HOST:
        raise OperationFailureException(
            f"The disk {disk.name} is attached to {instance.name}, which is not this host, so it "
            "is no block device here. `mooring uri` tells where it is served; a disk attached to "
            "an instance of the blueprint host is a block device."
        )
    uri = backend.engine(disk.zone).uri(instance.id, disk.name)
    try:
        path = backend.devices.attach(disk.id, uri)
    except (DiskBusyError, HostError) as error:
        why = backend.devices.problem(disk.id) or str(error)
        raise OperationFailureException(
            f"The disk {disk.name} has no block device that works: {why}"
        ) from error
    return {"diskName": disk.name, "device": path, "usedBy": backend.devices.users(disk.id) or None}


def _served(backend: Backend, context: Context, params: Params) -> tuple[Disk, Instance]:
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, context.region, _member(params, "diskName"))
        instance = transaction.instances.by_id(disk.instance_id) if disk.instance_id else None
    if instance is None or disk.attachment is not Attachment.ATTACHED:
        raise OperationFailureException(
            f"The disk {disk.name} is not attached to an instance, so it is not served. "
            "Attach it with attach-disk."
        )
    if instance.state is not InstanceState.RUNNING:
        raise OperationFailureException(
            f"The instance {instance.name} of the disk {disk.name} is {instance.state.label}, so "
            "its disks are not served. Start it with start-instance."
        )
    return disk, instance


def snapshot(backend: Backend, context: Context, params: Params) -> Answer:
    """What the snapshot `diskSnapshotName` cost: the pause in seconds, and bytes."""
    with backend.catalog.read() as transaction:
        found = find_snapshot(transaction, context.region, _member(params, "diskSnapshotName"))
        parent = transaction.snapshots.by_id(found.parent_id) if found.parent_id else None
    return {
        "diskSnapshotName": found.name,
        "id": found.id,
        "state": found.state,
        "progress": found.progress,
        "pauseSeconds": None if found.pause_us is None else found.pause_us / 1e6,
        "consistency": found.consistency,
        "quiesceSeconds": None if found.rest_us is None else found.rest_us / 1e6,
        "quiesceProblem": found.rest_problem or None,
        "incremental": found.parent_id is not None,
        "parentName": None if parent is None else parent.name,
        "changedBytes": found.changed_bytes,
        "storedBytes": found.stored_bytes,
        "createdAt": found.created_ms / 1000,
        "completedAt": None if found.completed_ms is None else found.completed_ms / 1000,
    }


def instance_snapshot(backend: Backend, context: Context, params: Params) -> Answer:
    """What the snapshot `instanceSnapshotName` cost: the pause in seconds, each part's bytes."""
    name = _member(params, "instanceSnapshotName")
    with backend.catalog.read() as transaction:
        found = find_instance_snapshot(transaction, context.region, name)
    pauses = [part.pause_us for part in found.parts if part.pause_us is not None]
    changed = [part.changed_bytes for part in found.parts if part.changed_bytes is not None]
    return {
        "instanceSnapshotName": found.name,
        "id": found.id,
        "state": found.state,
        "progress": found.progress,
        "pauseSeconds": max(pauses) / 1e6 if pauses else None,
        "changedBytes": sum(changed) if len(changed) == len(found.parts) else None,
        "parts": [
            {
                "diskName": part.disk_name,
                "id": part.id,
                "state": part.state,
                "progress": part.progress,
                "incremental": part.parent_id is not None,
                "changedBytes": part.changed_bytes,
                "storedBytes": part.stored_bytes,
            }
            for part in found.parts
        ],
    }


def disk(backend: Backend, context: Context, params: Params) -> Answer:
    """How far the disk `diskName` is filled from its snapshot: bytes of the snapshot's range."""
    with backend.catalog.read() as transaction:
        found = find_disk(transaction, context.region, _member(params, "diskName"))
        origin = transaction.snapshots.by_id(found.origin_id) if found.origin_id else None
    filling = backend.engine(found.zone).filling(found.id)
    pending = found.state is DiskState.PENDING and found.origin_id is not None
    return {
        "diskName": found.name,
        "id": found.id,
        "state": found.state,
        "originName": None if origin is None else origin.name,
        "filled": filling is None and not pending,
        "filledBytes": None if filling is None else filling.done,
        "bytesToFill": None if filling is None else filling.total,
    }


def disks(backend: Backend, context: Context, params: Params) -> Answer:
    """How the region's disks are; a disk's newest completed snapshot is told if it is damaged."""
    del params
    with backend.catalog.read() as transaction:
        found = [one for one in transaction.disks.all() if one.region == context.region]
        stored = {
            one.id: transaction.snapshots.of_disk(one.id, SnapshotState.COMPLETED) for one in found
        }
    told = []
    for one in found:
        health = DiskHealth(ok=True)
        if one.state not in (DiskState.ERROR, DiskState.PENDING):
            health = backend.engine(one.zone).health(one.id)
        newest = stored[one.id][-1].name if stored[one.id] else None
        told.append(
            {
                "diskName": one.name,
                "zone": one.zone,
                "state": one.state,
                "ok": health.ok,
                "problem": health.problem,
                "damaged": health.damaged,
                "layers": health.layers,
                "newestSnapshotName": newest,
            }
        )
    return {"disks": told}


def export(backend: Backend, context: Context, params: Params) -> Answer:
    """Serve the completed snapshot `diskSnapshotName` read-only for `seconds`; says where.

    With `tcp` (`true`), for other hosts, with TLS.

    Asked again, it is another export of the same snapshot.
    """
    with backend.catalog.read() as transaction:
        found = find_snapshot(transaction, context.region, _member(params, "diskSnapshotName"))
    if found.state is not SnapshotState.COMPLETED:
        raise OperationFailureException(
            f"The snapshot {found.name} cannot be exported right now. "
            f"The state of this snapshot is: {found.state}"
        )
    seconds = _seconds(params.get("seconds", EXPORT_SECONDS))
    expires = backend.clock.now_ms() + seconds * 1000
    try:
        address = backend.server(context.region).grant(
            found.id, seconds, tcp=params.get("tcp") == "true"
        )
    except ConfigurationError as error:
        raise OperationFailureException(
            f"The snapshot {found.name} cannot be exported so: {error}"
        ) from error
    return {
        "diskSnapshotName": found.name,
        "id": found.id,
        "uri": address,
        "sizeInBytes": size_in_bytes(found.size_gb),
        "expiresAt": expires / 1000,
    }


def export_record(backend: Backend, context: Context, params: Params) -> Answer:
    """How far the export `exportSnapshotRecordName` is, and where its file or directory is."""
    name = _member(params, "exportSnapshotRecordName")
    with backend.catalog.read() as transaction:
        found = transaction.export_records.by_name(context.region, check_name(name))
    if found is None:
        raise NotFoundException(f"The ExportSnapshotRecord does not exist: {name}")
    return {
        "exportSnapshotRecordName": found.name,
        "id": found.id,
        "state": found.state,
        "progress": found.progress,
        "destination": found.destination,
    }


def _seconds(value: object) -> int:
    try:
        seconds = int(str(value))
    except ValueError:
        seconds = 0
    if not 1 <= seconds <= LONGEST_EXPORT_SECONDS:
        raise InvalidInputException(
            f"An export lasts 1 to {LONGEST_EXPORT_SECONDS} seconds, not {str(value)[:40]}."
        )
    return seconds


def diff(backend: Backend, context: Context, params: Params) -> Answer:
    """What changed in the snapshot `diskSnapshotName` since `fromDiskSnapshotName`, in bytes.

    Without the latter, all that the snapshot holds. The ranges come in pages, from the byte
    `startOffset` on; `nextOffset` is where the next page begins, null on the last one.
    """
    start = _offset(params.get("startOffset", 0))
    names = {"to": _member(params, "diskSnapshotName"), "from": params.get("fromDiskSnapshotName")}
    found: dict[str, DiskSnapshot] = {}
    with backend.catalog.read() as transaction:
        for which, name in names.items():
            if name:
                found[which] = find_snapshot(transaction, context.region, str(name))
    for one in found.values():
        if one.state is not SnapshotState.COMPLETED:
            raise OperationFailureException(
                f"The snapshot {one.name} cannot be compared right now. "
                f"The state of this snapshot is: {one.state}"
            )
    old, new = found.get("from"), found["to"]
    try:
        ranges = backend.vaults[context.region].diff(old.id if old else None, new.id, start)
        page = list(itertools.islice(ranges, DIFF_PAGE + 1))
    except VaultError as error:
        raise OperationFailureException(f"The snapshots cannot be compared: {error}.") from error
    more = page[DIFF_PAGE:]
    return {
        "from": None if old is None else old.name,
        "to": new.name,
        "sizeInBytes": size_in_bytes(new.size_gb),
        "extents": [
            {"offset": one.offset, "length": one.length, "zero": one.zero}
            for one in page[:DIFF_PAGE]
        ],
        "nextOffset": more[0].offset if more else None,
    }


def usage(backend: Backend, context: Context, _params: Params) -> Answer:
    """What each completed snapshot of the region takes in the vault, in bytes."""
    with backend.catalog.read() as transaction:
        snapshots = {
            one.id: one
            for one in transaction.snapshots.all()
            if one.region == context.region and one.state is SnapshotState.COMPLETED
        }
    try:
        report = backend.vaults[context.region].usage()
    except VaultError as error:
        raise OperationFailureException(
            f"The usage cannot be told: {error}. `mooringd verify` lists the damage."
        ) from error
    rows: list[dict[str, Any]] = []
    for one in report:
        if (found := snapshots.get(one.snapshot_id)) is not None:
            rows.append(
                {
                    "diskSnapshotName": found.name,
                    "diskName": found.disk_name,
                    "createdAt": found.created_ms / 1000,
                    "sizeInBytes": size_in_bytes(found.size_gb),
                    "aloneBytes": one.unique_bytes,
                    "sharedBytes": one.shared_bytes,
                    "fullCopyBytes": one.logical_bytes,
                    "tags": [{"key": key, "value": found.tags[key]} for key in found.tags],
                }
            )
    rows.sort(key=lambda row: (row["diskName"], row["createdAt"]))
    return shown_to(context.access, {"snapshots": rows})


def _offset(value: object) -> int:
    try:
        offset = int(str(value))
    except ValueError:
        offset = -1
    if offset < 0 or offset % BLOCK_SIZE:
        raise InvalidInputException(
            f"startOffset must be a multiple of {BLOCK_SIZE}, not {str(value)[:40]}."
        )
    return offset


# `uri`, `device` and `export` open a way to the data, which is more than to tell.
QUESTIONS: dict[str, Entry[Question]] = {
    "uri": changes(uri, on=["diskName"]),
    "device": changes(device, on=["diskName"]),
    "disk": reads(disk, on=["diskName"]),
    "disks": administers(disks),
    "export": changes(export, on=["diskSnapshotName"]),
    "export-record": reads(export_record),
    "instance-snapshot": reads(instance_snapshot, on=["instanceSnapshotName"]),
    "import": changes(import_snapshot, makes="diskSnapshotName"),
    "snapshot": reads(snapshot, on=["diskSnapshotName"]),
    "diff": reads(diff, on=["diskSnapshotName", "fromDiskSnapshotName"]),
    "usage": reads(usage),
}


def own_handlers(backend: Backend) -> dict[str, Callable[[Context, Params], Answer]]:
    """The function for each question, ready to be called with a context and members."""

    def bound(name: str, entry: Entry[Question]) -> Callable[[Context, Params], Answer]:
        def handle(context: Context, params: Params) -> Answer:
            admitted = admit(backend, Request(context, f"mooring:{name}", entry, params))
            return entry.function(admitted, context, params)

        return handle

    return {name: bound(name, entry) for name, entry in QUESTIONS.items()}


def _member(params: Params, name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInputException(f"{name} is required.")
    return value
