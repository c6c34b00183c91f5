"""A question about a disk's snapshots: all of them on one line of time."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.automatic.health import AutoFailure
from mooring.model.automatic.rules import AutoSource
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.finding import find_disk
from mooring.service.overview.owners import owners
from mooring.service.own.own_request import Answer, member
from mooring.service.own.reports.disk_list import protection
from mooring.service.own.reports.protection import Protections
from mooring.service.snapshots.named_snapshots import name_by_which_found

SIZE = 100
"""Snapshots of one page."""


def timeline(backend: Backend, context: Context, params: Params) -> Answer:
    """The snapshots of the disk `diskName`, newest first, with those that are automatic, and those
    that are parts of an instance's; and what was to be taken and was not.

    They come in pages; `rhythms` are those of the disk's tag, or of the settings.
    """
    before = pages.read_number(params.get("pageToken"))
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, context.region, member(params, "diskName"))
        found = transaction.snapshots.newest_of_disk(disk.region, disk.id, before, SIZE + 1)
        owned = owners(transaction, found[:SIZE]) if found else {}
        told = [one for one in found[:SIZE] if all(map(context.access.reaches, owned[one.id]))]
        names = {one.id: name_by_which_found(transaction, one) for one in told}
        runs = transaction.auto_runs.of(disk.id)
        failures = transaction.auto_failures.of(disk.id, *AutoSource)
        now = backend.clock.now_ms()
        state = Protections(transaction, context.region, now, [disk]).of(disk)
        origin = transaction.snapshots.by_id(disk.origin_id) if disk.origin_id else None
    more = found[SIZE - 1].created_ms if len(found) > SIZE else None
    return {
        "diskName": disk.name,
        "originName": None if origin is None else origin.name,
        "snapshots": [_told(one, names[one.id]) for one in told if names[one.id]],
        "nextPageToken": pages.token(more),
        "rhythms": [
            {"source": run.source, "policy": run.policy, "nextAt": run.next_ms / 1000}
            for run in runs
        ],
        "failures": [_failed(one) for one in failures],
        **protection(state, now),
    }


def _told(one: DiskSnapshot, name: str) -> Answer:
    return {
        "diskSnapshotName": name,
        "id": one.id,
        "createdAt": one.created_ms / 1000,
        "completedAt": None if one.completed_ms is None else one.completed_ms / 1000,
        "state": one.state,
        "progress": one.progress,
        "isAutomatic": one.auto is not None,
        "isPart": one.part_of is not None,
        "consistency": one.consistency,
        "incremental": one.parent_id is not None,
        "changedBytes": one.changed_bytes,
        "storedBytes": one.stored_bytes,
        "sizeInGb": one.size_gb,
        "isLost": one.lost is not None,
    }


def _failed(one: AutoFailure) -> Answer:
    return {
        "at": one.piece_ms / 1000,
        "lastAt": one.last_ms / 1000,
        "attempts": one.attempts,
        "reason": one.reason,
    }
