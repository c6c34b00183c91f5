"""Questions about room: what snapshots stored, lately and disk by disk."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.access import Need
from mooring.model.automatic.rhythm import WEEK_MS
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer
from mooring.service.own.reports.places import rooms_of

MOST = 100
"""Disks that are told: those that stored most."""


def space(backend: Backend, context: Context, params: Params) -> Answer:
    """What was stored in the last days, and for administrators the file systems."""
    del params
    now, access = backend.clock.now_ms(), context.access
    with backend.catalog.read() as transaction:
        rates = transaction.snapshots.stored_since(context.region, now - WEEK_MS)
        samples = transaction.room_samples.of(backend.this_server.id)
    return {
        "storedLastWeekBytes": None if access.tags else rates.stored,
        "snapshotsLastWeek": None if access.tags else rates.snapshots,
        "rooms": rooms_of(backend, samples) if access.role.allows(Need.ADMINISTER) else [],
    }


def space_by_disk(backend: Backend, context: Context, params: Params) -> Answer:
    """What the completed snapshots of each disk stored when they were taken, largest first.

    What deletions have given back since is not counted; `usage` counts what each snapshot takes
    now, which takes longer.
    """
    del params
    access = context.access
    with backend.catalog.read() as transaction:
        sums = transaction.totals.stored_by_disk(context.region)
        disks = {one.id: one for one in transaction.disks.among(one.disk_id for one in sums)}
    if access.tags:
        mine = {one.id for one in disks.values() if access.reaches(one.tags)}
        sums = [one for one in sums if one.disk_id in mine]
    return {
        "disks": [
            {
                "diskName": one.disk_name or None,
                "exists": one.disk_id in disks,
                "diskRegion": disks[one.disk_id].region if one.disk_id in disks else None,
                "snapshots": one.snapshots,
                "storedBytes": one.stored,
                "changedBytes": one.changed,
                "newestAt": one.newest_ms / 1000,
            }
            for one in sums[:MOST]
        ],
        "more": max(0, len(sums) - MOST),
        "storedBytes": sum(one.stored for one in sums),
        "changedBytes": sum(one.changed for one in sums),
        "snapshots": sum(one.snapshots for one in sums),
    }
