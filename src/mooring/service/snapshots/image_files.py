"""Image files on the server's host, into which ExportSnapshot writes snapshots."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.model.errors import OperationFailureException
from mooring.model.names import is_name
from mooring.model.resources.export_record import ENDING, MAX_FILE_NAME, ExportedDisk, ExportRecord
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.job_arguments import ExportSnapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations, pages
from mooring.service.answers.snapshot_views import export_record_view
from mooring.service.call import Call, Result
from mooring.service.finding import find_of_either_kind
from mooring.service.reach import reaches_record


def export_snapshot(backend: Backend, call: Call) -> Result:
    """ExportSnapshot: of a disk into one file, of an instance into one for each of its disks."""
    name = call.params["sourceSnapshotName"]
    with backend.catalog.write() as transaction:
        source = find_of_either_kind(transaction, call.region, name)
        if not source.is_stored:
            raise OperationFailureException(
                f"You can't export the snapshot {name} right now. "
                f"The state of this snapshot is: {source.state}"
            )
        record = _record(backend, source)
        transaction.export_records.add(record)
        started = operations.enqueue(
            backend,
            transaction,
            ExportSnapshot(
                record=record.id, snapshots=tuple(disk.snapshot_id for disk in record.disks)
            ),
            f"export {record.id}",
            record.region,
            [
                operations.begin(backend, call, record, details=source.name),
                operations.begin(backend, call, source, details=record.name),
            ],
        )
        return operations.reply(backend, transaction, call, started)


def get_export_snapshot_records(backend: Backend, call: Call) -> Result:
    """GetExportSnapshotRecords: in the order of their making."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.export_records.page(call.region, after, pages.SIZE)
        access = call.context.access
        found = [one for one in found if reaches_record(transaction, access, one)]
    return {
        "exportSnapshotRecords": [export_record_view(backend, one) for one in found],
        "nextPageToken": pages.token(more),
    }


def _record(backend: Backend, source: Snapshot) -> ExportRecord:
    record_id = backend.ids.new_id()
    place = f"{backend.image_files / source.region / source.name}-{record_id}"
    # A name of 255 characters would be too long with the id behind it.
    length = len(source.name) + len(record_id) + 1 + len(ENDING)
    if length > MAX_FILE_NAME or not is_name(source.name):
        place = str(backend.image_files / source.region / record_id)
    parts: Sequence[DiskSnapshot]
    bundle_id = blueprint_id = None
    if isinstance(source, InstanceSnapshot):
        from_id, from_name = source.instance_id, source.instance_name
        bundle_id, blueprint_id = source.bundle_id, source.blueprint_id
        parts = source.parts
    else:
        from_id, from_name = source.disk_id, source.disk_name
        parts = [source]
        place += ENDING
    return ExportRecord(
        id=record_id,
        region=source.region,
        name=f"ExportSnapshotRecord-{record_id}",
        created_ms=backend.clock.now_ms(),
        source_type=operations.type_of(source),
        source_id=source.id,
        source_name=source.name,
        source_created_ms=source.created_ms,
        from_id=from_id,
        from_name=from_name,
        bundle_id=bundle_id,
        blueprint_id=blueprint_id,
        disks=[_disk(part) for part in parts],
        destination=place,
        server=backend.server_name or "",
        tags=source.tags,
    )


def _disk(one: DiskSnapshot) -> ExportedDisk:
    return ExportedDisk(
        snapshot_id=one.id,
        name=one.disk_name,
        size_gb=one.size_gb,
        path=one.disk_path,
        is_system=one.is_system,
    )
