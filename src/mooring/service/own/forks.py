"""Forks: new disks of disks in use, without a detour through the vault."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.database import Transaction
from mooring.model.errors import InvalidInputException
from mooring.model.names import check_name, name_taken, shown
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Disk
from mooring.model.resources.snapshot_jobs import filling
from mooring.service.answers import operations
from mooring.service.automatic.add_ons import begin_with
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.finding import find_disk
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.checks import check_freezable
from mooring.taking import recording
from mooring.taking.forking import Fork, fork_or_take_back, reserve

OPERATION = "ForkDisk"
"""The type of the operations that a fork has in the lists of operations."""

SNAPSHOT = "CreateDiskSnapshot"


def fork(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the disk `newDiskName` of the disk `diskName` as it is now, which may be in use.

    It is usable when this returns. `diskSnapshotName` names a snapshot of the same instant to be
    kept as well. It is in the same zone; `tags` are its tags.
    """
    call = Call(context, OPERATION, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    name = check_name(member(params, "newDiskName"))
    kept = params.get("diskSnapshotName")
    names = [name] if kept is None else [name, check_name(kept)]
    if len(set(names)) < len(names):
        raise InvalidInputException("The new disk and the snapshot cannot have the same name.")
    tags = read_given_tags(ResourceType.DISK, params.get("tags") or [])
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, member(params, "diskName"))
        _check_zone(disk, params.get("availabilityZone"))
        if taken := transaction.names.taken(call.region, names):
            raise name_taken(taken)
        check_freezable(backend, transaction, disk)
        now = backend.clock.now_ms()
        made = Disk(
            id=backend.ids.new_id(),
            region=disk.region,
            zone=disk.zone,
            name=name,
            created_ms=now,
            support_code=backend.support_code("vol"),
            size_gb=disk.size_gb,
            origin_id=disk.origin_id,
            tags=tags,
        )
        snapshot = recording.of_disk(backend, disk, kept or name, now)
        forked = Fork(disk, made, snapshot, kept is not None)
        reserve(transaction, forked)
        begin_with(backend, transaction, call, made)
    return fork_or_take_back(
        backend, forked, lambda transaction: _answer(backend, transaction, call, forked)
    )


def _answer(backend: Backend, transaction: Transaction, call: Call, forked: Fork) -> Answer:
    if backend.engine(forked.made.zone).filling(forked.made.id) is not None:
        # What it has not got from the snapshot yet, it gets as the other disk does.
        _fill(backend, transaction, forked)
    begun = [
        operations.begin(backend, call, forked.made, details=forked.disk.name, ended=True),
        operations.begin(backend, call, forked.disk, details=forked.made.name, ended=True),
    ]
    if forked.kept:
        begun += operations.waiting(
            [
                operations.begin(
                    backend, call, forked.snapshot, details=forked.disk.name, kind=SNAPSHOT
                ),
                operations.begin(
                    backend, call, forked.disk, details=forked.snapshot.name, kind=SNAPSHOT
                ),
            ],
            forked.snapshot.id,
        )
    return operations.reply(backend, transaction, call, begun)


def _fill(backend: Backend, transaction: Transaction, forked: Fork) -> None:
    """Fill the fork of a disk that is being filled, from the same snapshot."""
    if forked.disk.origin_id is not None and transaction.jobs.is_read(forked.disk.origin_id):
        job_id, now = backend.ids.new_id(), backend.clock.now_ms()
        transaction.jobs.add(filling(forked.made, forked.disk.origin_id, job_id, now))


def _check_zone(disk: Disk, zone: str | None) -> None:
    if zone is not None and zone != disk.zone:
        raise InvalidInputException(
            f"The disk {disk.name} is in {disk.zone}, and a fork is where its disk is. For one in "
            f"{shown(zone)}, take a snapshot and use create-disk-from-snapshot."
        )
