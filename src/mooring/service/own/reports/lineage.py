"""A question about where a disk comes from, and what was made of it."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.resources.disk import Disk
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.finding import find_disk
from mooring.service.overview.owners import owners
from mooring.service.own.forks import DISK
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.named_snapshots import name_by_which_found

MOST = 200
"""Snapshots that are looked at: the newest."""


def lineage(backend: Backend, context: Context, params: Params) -> Answer:
    """What the disk `diskName` was made from, and its snapshots that something was made of: disks
    made from them, and copies of them, in any region.

    Forks are known for as long as their operations are kept.
    """
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, context.region, member(params, "diskName"))
        origin = transaction.snapshots.by_id(disk.origin_id) if disk.origin_id else None
        taken = transaction.snapshots.newest_of_disk(disk.region, disk.id, None, MOST)
        among = [*taken, *([] if origin is None else [origin])]
        made = transaction.disks.made_from([one.id for one in among])
        copies = transaction.snapshots.copies_of([one.content for one in taken])
        seen = _Seen(transaction, context, [*among, *copies])
        told = []
        for one in taken:
            disks = [each for each in made if each.origin_id == one.id and each.id != disk.id]
            copied = [each for each in copies if each.content == one.content and each.id != one.id]
            entry = seen.snapshot(one)
            if entry is not None and (disks or copied):
                told.append(
                    {
                        **entry,
                        "disks": [found for each in disks if (found := seen.disk(each))],
                        "copies": [found for each in copied if (found := seen.snapshot(each))],
                    }
                )
        siblings = [
            found
            for each in made
            if origin is not None
            and each.origin_id == origin.id
            and each.id != disk.id
            and (found := seen.disk(each))
        ]
        forked_from, forks = _forks(transaction, disk, seen)
    return {
        "diskName": disk.name,
        "createdAt": disk.created_ms / 1000,
        "forkedFrom": forked_from,
        "forks": forks,
        "origin": None if origin is None else seen.snapshot(origin),
        "siblings": siblings,
        "snapshotCount": len(taken),
        "more": len(taken) == MOST,
        "snapshots": told,
    }


def _forks(transaction: Transaction, disk: Disk, seen: _Seen) -> tuple[Answer | None, list[Answer]]:
    """The disk that this one is a fork of, and its own forks: the younger one is the fork."""
    found, _ = transaction.operations.page(disk.region, None, MOST, disk.name)
    forked_from, forks = None, []
    for one in found:
        if one.type != DISK or one.resource_id != disk.id or not one.details:
            continue
        other = transaction.disks.by_name(disk.region, one.details)
        told = None if other is None else seen.disk(other)
        if other is None or told is None:
            continue
        if other.created_ms < disk.created_ms:
            forked_from = told
        else:
            forks.append(told)
    return forked_from, forks


class _Seen:
    """What the caller may see of a disk's relatives; the names are made within a transaction."""

    def __init__(
        self, transaction: Transaction, context: Context, snapshots: list[DiskSnapshot]
    ) -> None:
        self._context = context
        owned = owners(transaction, snapshots) if snapshots else {}
        self._named = {
            one.id: name_by_which_found(transaction, one)
            for one in snapshots
            if all(map(context.access.reaches, owned[one.id]))
        }

    def snapshot(self, one: DiskSnapshot) -> Answer | None:
        name = self._named.get(one.id)
        if not name:
            return None
        return {
            "diskSnapshotName": name,
            "diskName": one.disk_name or None,
            "region": one.region,
            "createdAt": one.created_ms / 1000,
            "state": one.state,
        }

    def disk(self, one: Disk) -> Answer | None:
        if not self._context.access.reaches(one.tags):
            return None
        return {
            "diskName": one.name,
            "region": one.region,
            "state": one.state,
            "createdAt": one.created_ms / 1000,
        }
