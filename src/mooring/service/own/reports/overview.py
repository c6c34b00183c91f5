"""A question about a region as a whole: protection, jobs, failures, room."""

from __future__ import annotations

from collections import Counter

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.access import Need
from mooring.model.automatic.rhythm import WEEK_MS
from mooring.model.operation import OperationStatus
from mooring.model.resources.disk import Disk, DiskState
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer
from mooring.service.own.reports.disk_list import protection
from mooring.service.own.reports.places import rooms_of
from mooring.service.own.reports.protection import Protection, Protections
from mooring.service.own.reports.work import work_of

WORST = 8
"""Disks that are told one by one."""

FAILED = 5
"""Operations that failed and are told."""


def overview(backend: Backend, context: Context, params: Params) -> Answer:
    """What somebody should know of the region: its disks by how they are protected, the worst of
    them, jobs, operations that failed last, and for administrators the file systems."""
    del params
    now = backend.clock.now_ms()
    access = context.access
    with backend.catalog.read() as transaction:
        states = Protections(transaction, context.region, now)
        disks = transaction.disks.of_region(context.region)
        disks = [one for one in disks if access.reaches(one.tags)]
        protected = [(one, states.of(one)) for one in disks]
        counts = Counter(state.state for _, state in protected)
        late = [one for one in protected if one[1].state is Protection.LATE]
        running = work_of(backend, transaction, context)
        failed = _failed(transaction, context, disks)
        rates = transaction.snapshots.stored_since(context.region, now - WEEK_MS)
        samples = transaction.room_samples.of(backend.this_server.id)
    broken = [one.name for one in disks if one.state is DiskState.ERROR]
    return {
        "disks": len(disks),
        "protection": {state: counts[state] for state in Protection},
        "late": [{"diskName": disk.name, **protection(state, now)} for disk, state in late[:WORST]],
        "inError": broken[:WORST],
        "inErrorCount": len(broken),
        "jobs": running,
        "failed": failed,
        "rooms": (rooms_of(backend, samples) if access.role.allows(Need.ADMINISTER) else []),
        "storedLastWeekBytes": None if access.tags else rates.stored,
        "snapshotsLastWeek": None if access.tags else rates.snapshots,
    }


def _failed(transaction: Transaction, context: Context, disks: list[Disk]) -> list[Answer]:
    """Operations of the newest that failed, as far as they are the caller's."""
    found, _ = transaction.operations.page(context.region, None, 2 * pages.SIZE)
    known = {one.id for one in disks}
    mine = [
        one
        for one in found
        if one.status is OperationStatus.FAILED
        and (not context.access.tags or one.resource_id in known)
    ]
    return [
        {
            "id": one.id,
            "operationType": one.type,
            "resourceName": one.resource_name,
            "resourceType": one.resource_type,
            "at": one.changed_ms / 1000,
            "errorCode": one.error_code,
            "errorDetails": one.error_details,
        }
        for one in mine[:FAILED]
    ]
