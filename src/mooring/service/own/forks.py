"""Forks: new disks of disks in use, without a detour through the vault."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException
from mooring.model.names import MAX_NAME_LENGTH, check_name, name_taken, shown
from mooring.model.operation import Operation, ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.sizes import check_disk_size
from mooring.service.answers import operations
from mooring.service.automatic.add_ons import begin_with
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.finding import find_disk, find_instance
from mooring.service.instances.disks_made_with import disk_made_with
from mooring.service.own.own_request import Answer, member
from mooring.service.placing import check_stays
from mooring.service.snapshots.checks import (
    FORK,
    check_freezable,
    check_instance_freezable,
    check_instance_made,
    check_made,
)
from mooring.taking import recording
from mooring.taking.forking import Fork, Instant, fork_or_take_back, reserve
from mooring.taking.rest import check_agent

DISK, INSTANCE = "ForkDisk", "ForkInstance"
"""The types of the operations that forks have in the lists of operations."""


def fork(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the disk `newDiskName` of the disk `diskName` as it is now, which may be in use.

    It is usable when this returns. `diskSnapshotName` names a snapshot of the same instant to be
    kept as well, `sizeInGb` a larger size. It is in the same zone; `tags` are its tags.
    """
    call = Call(context, DISK, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    name = check_name(member(params, "newDiskName"))
    kept = params.get("diskSnapshotName")
    names = _names([name], kept)
    tags = read_given_tags(ResourceType.DISK, params.get("tags") or [])
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, member(params, "diskName"))
        _check_zone(backend, disk, params.get("availabilityZone"))
        check_stays(backend, disk, tags)
        size_gb = _size(disk, params.get("sizeInGb"))
        if taken := transaction.names.taken(call.region, names):
            raise name_taken(taken)
        check_made(backend, disk, FORK)
        if kept is not None:
            check_freezable(backend, transaction, disk)
        now = backend.clock.now_ms()
        made = Disk(
            id=backend.ids.new_id(),
            region=disk.region,
            zone=disk.zone,
            name=name,
            created_ms=now,
            support_code=backend.support_code("vol"),
            size_gb=size_gb,
            origin_id=disk.origin_id,
            ancestors=disk.forked(),
            host=disk.host,
            tags=tags,
        )
        reached = dict(context.access.tags)
        snapshot = recording.of_disk(backend, disk, kept or name, now, tags=reached)
        forked = Fork(snapshot, [made], _instant(kept))
        reserve(backend, transaction, forked)
        begin_with(backend, transaction, call, made)

    def answer(transaction: Transaction, forked: Fork) -> Answer:
        begun = [
            operations.begin(backend, call, made, details=disk.name, ended=True),
            operations.begin(backend, call, disk, details=made.name, ended=True),
            *_kept(backend, call, forked, disk),
        ]
        return operations.reply(backend, transaction, call, begun)

    return fork_or_take_back(backend, forked, answer)


def fork_instance(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the instance `newInstanceName` with forks of all disks of the instance `instanceName`.

    They are as all of them are at one instant, attached under the same paths, and called after the
    new instance and the old disks; the answer names them. `instanceSnapshotName` names a
    snapshot of the same instant to be kept as well; `tags` are those of the new instance.
    """
    call = Call(context, INSTANCE, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    name = check_name(member(params, "newInstanceName"))
    kept = params.get("instanceSnapshotName")
    _names([name], kept)
    tags = read_given_tags(ResourceType.INSTANCE, params.get("tags") or [])
    check_agent(backend, tags)
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, member(params, "instanceName"))
        check_stays(backend, instance, tags)
        disks = transaction.disks.of_instance(instance.id)
        if not disks:
            raise InvalidInputException(
                f"The instance {instance.name} has no disks, so there is nothing to fork. Make an "
                "instance with create-instances."
            )
        made_names = _made_names(name, instance, disks)
        names = _names([name, *made_names], kept)
        if taken := transaction.names.taken(call.region, names):
            raise name_taken(taken)
        check_instance_made(backend, instance, disks, FORK)
        if kept is not None:
            check_instance_freezable(backend, transaction, instance, disks)
        now = backend.clock.now_ms()
        made = Instance(
            id=backend.ids.new_id(),
            region=instance.region,
            zone=instance.zone,
            name=name,
            created_ms=now,
            support_code=backend.support_code("i"),
            blueprint_id=instance.blueprint_id,
            bundle_id=instance.bundle_id,
            key_pair=instance.key_pair,
            ip_address_type=instance.ip_address_type,
            host=instance.host,
            tags=tags,
        )
        reached = dict(context.access.tags)
        whole = recording.of_instance(backend, instance, disks, kept or name, now, tags=reached)
        named = zip(disks, made_names, strict=True)
        copies = [_attached(backend, call, made, disk, called) for disk, called in named]
        forked = Fork(whole, copies, _instant(kept), made)
        reserve(backend, transaction, forked)
        begin_with(backend, transaction, call, made)

    def answer(transaction: Transaction, forked: Fork) -> Answer:
        begun = [
            operations.begin(backend, call, made, details=instance.name, ended=True),
            operations.begin(backend, call, instance, details=made.name, ended=True),
        ]
        for disk, copy in zip(disks, forked.made, strict=True):
            details = {"details": disk.name, "kind": DISK}
            begun.append(operations.begin(backend, call, copy, **details, ended=True))
        begun += _kept(backend, call, forked, instance)
        told = {
            **operations.record(transaction, begun),
            "disks": [
                {"diskName": copy.name, "sourceDiskName": disk.name, "diskPath": copy.path}
                for disk, copy in zip(disks, forked.made, strict=True)
            ],
        }
        return call.remember(backend, transaction, told)

    return fork_or_take_back(backend, forked, answer)


def _names(made: list[str], kept: str | None) -> list[str]:
    """The names that must be free. Raises InvalidInputException."""
    if kept is None:
        return made
    if check_name(kept) in made:
        raise InvalidInputException(
            "What is made and the snapshot cannot have the same name: "
            f"both are to be called {kept}."
        )
    return [*made, kept]


def _made_names(name: str, instance: Instance, disks: Sequence[Disk]) -> list[str]:
    """The names of the forks, in the order of the disks. Raises InvalidInputException.

    Disks that are called after the instance are called after the new one instead.
    """
    own = [disk.name.removeprefix(f"{instance.name}-") for disk in disks]
    if len(set(own)) < len(own):
        own = [disk.name for disk in disks]
    made = [f"{name}-{one}" for one in own]
    longest = max(made, key=len)
    if len(longest) > MAX_NAME_LENGTH:
        raise InvalidInputException(
            f"A fork of a disk would be called {longest}, which has {len(longest)} characters; "
            f"{MAX_NAME_LENGTH} is the limit. Choose a shorter newInstanceName."
        )
    return made


def _instant(kept: str | None) -> Instant:
    return Instant.PASSED if kept is None else Instant.KEPT


def _attached(backend: Backend, call: Call, instance: Instance, disk: Disk, name: str) -> Disk:
    """A fork of the disk."""
    return disk_made_with(
        backend,
        instance,
        name,
        size_gb=disk.size_gb,
        path=disk.path,
        origin_id=disk.origin_id,
        ancestors=disk.forked(),
        is_system=disk.is_system,
        tags=call.context.access.tags,
    )


def _kept(
    backend: Backend, call: Call, forked: Fork, source: Disk | Instance
) -> Sequence[Operation]:
    """The operations of the snapshot that is kept, if one is."""
    if forked.instant is not Instant.KEPT:
        return []
    return operations.taken(backend, call, forked.snapshot, source)


def _size(disk: Disk, size_gb: int | None) -> int:
    if size_gb is None:
        return disk.size_gb
    if check_disk_size(size_gb) < disk.size_gb:
        raise InvalidInputException(
            f"The disk {disk.name} has {disk.size_gb} GB, so a fork of it cannot have {size_gb} "
            "GB: disks only grow. For a smaller one, create a disk and copy the files."
        )
    return size_gb


def _check_zone(backend: Backend, disk: Disk, zone: str | None) -> None:
    if zone is not None and backend.check_zone(disk.region, zone) != disk.zone:
        raise InvalidInputException(
            f"The disk {disk.name} is in {disk.zone}, and a fork is where its disk is. For one in "
            f"{shown(zone)}, take a snapshot and use create-disk-from-snapshot."
        )
