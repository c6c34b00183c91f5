"""Exporting a snapshot into image files.

ExportSnapshot answers with a record that is `Started`. Then:

    write     write each disk into a file beside the destination, sparse, and compare it
              undo: delete what was written
    publish   give it the destination's name
              undo: delete it

and in the transaction that records this the record is `Succeeded`. So a partial
image never has the destination's name. Killed while writing, the job starts over. It is for the
server on whose host the destination is; whoever has it when that one is gone lets it fail, and
touches nothing under the same name on a host of its own. Until it is done
the snapshot is not deleted from the vault (delete_snapshot.py).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from mooring.catalog.transaction import Transaction
from mooring.files import sync
from mooring.host.rooms import IMAGE_FILES
from mooring.images.pieces import data_bytes
from mooring.images.raw_file import write_raw
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.jobs.running.progress import Progress
from mooring.model.errors import CanceledError, StoreError
from mooring.model.resources.export_record import ExportRecord, RecordState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ExportSnapshot
from mooring.model.resources.job_kind import JobKind


def write(work: Work) -> None:
    """Write all disks into a directory that has no name of its own yet."""
    record = _record(work)
    _check_here(work, record)
    part = _part(record)
    work.backend.rooms.check_there(IMAGE_FILES)
    shutil.rmtree(part, ignore_errors=True)
    work.backend.rooms.make_folder(IMAGE_FILES, part)
    with ExitStack() as stack:
        images = []
        for disk in record.disks:
            image = work.vault.open(disk.snapshot_id)
            stack.callback(image.close)
            images.append((disk.file_name, image, data_bytes(image)))

        def record_progress(percent: int) -> None:
            with work.catalog.write() as transaction:
                transaction.jobs.check_held(work.job)
                transaction.export_records.change(record.id, progress=percent)

        # Each byte is written, and compared.
        total = 2 * sum(length for _, _, length in images)
        progress = Progress(work, total, record_progress)
        before = 0
        for name, image, length in images:
            write_raw(image, part / name, partial(_reach, work, progress, before))
            before += 2 * length
    sync(part)


def publish(work: Work) -> Change:
    """Give the directory its name, or of one disk's the file in it."""
    record = _record(work)
    _check_here(work, record)
    part, destination = _part(record), Path(record.destination)
    work.backend.rooms.check_there(IMAGE_FILES)
    if not os.path.lexists(destination):
        if not part.is_dir():
            raise StoreError(f"{part}, which was to become {destination}, is gone")
        if record.of_instance:
            part.rename(destination)
        else:
            (part / record.disks[0].file_name).rename(destination)
    shutil.rmtree(part, ignore_errors=True)
    sync(destination.parent)

    def change(transaction: Transaction) -> None:
        transaction.export_records.change(record.id, state=RecordState.SUCCEEDED, progress=100)

    return change


def undo_write(work: Work) -> None:
    """Leave nothing of what was written."""
    if _is_elsewhere(work, _record(work)):
        return
    work.backend.rooms.check_there(IMAGE_FILES)
    shutil.rmtree(_part(_record(work)), ignore_errors=True)


def undo_publish(work: Work) -> None:
    """The same under its name: nobody has been told that it is there."""
    if _is_elsewhere(work, _record(work)):
        return
    work.backend.rooms.check_there(IMAGE_FILES)
    destination = Path(_record(work).destination)
    if destination.is_dir():
        shutil.rmtree(destination)
    with suppress(FileNotFoundError):
        destination.unlink()


def failed(transaction: Transaction, job: Job) -> None:
    """The record tells that it failed, the operation why."""
    transaction.export_records.change_if_there(
        job.given(ExportSnapshot).record, state=RecordState.FAILED
    )


def _check_here(work: Work, record: ExportRecord) -> None:
    if _is_elsewhere(work, record):
        raise StoreError(
            f"the server {record.server}, which was to write {record.destination}, is gone"
        )


def _is_elsewhere(work: Work, record: ExportRecord) -> bool:
    """Whether the job was left to others by the server that was to do it."""
    return bool(record.server) and not work.job.server


def _reach(work: Work, progress: Progress, before: int, done: int) -> None:
    work.backend.rooms.check_going_on(IMAGE_FILES)
    progress.reached(before + done)


def _record(work: Work) -> ExportRecord:
    with work.catalog.read() as transaction:
        record = transaction.export_records.by_id(work.given(ExportSnapshot).record)
    if record is None:
        raise CanceledError(f"the export record {work.given(ExportSnapshot).record} is gone")
    return record


def _part(record: ExportRecord) -> Path:
    return Path(record.destination).parent / f".{record.id}.part"


EXPORT = Procedure(
    JobKind.EXPORT_SNAPSHOT,
    (Step("write", write, undo_write), Step("publish", publish, undo_publish)),
    failed,
)
