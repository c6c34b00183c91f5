"""Moves of instances, and of disks that are attached to nothing, to other hosts."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.operation import Operation
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import HOST_TAG, SeenHost
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import MoveDisks
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.finding import find_disk, find_instance
from mooring.service.own.own_request import Answer, member
from mooring.service.placing import named_host
from mooring.service.snapshots.checks import (
    MOVE,
    check_freezable,
    check_instance_freezable,
    check_instance_made,
    check_made,
)
from mooring.service.snapshots.free_name import free_name
from mooring.taking import recording
from mooring.taking.moving import Move, freeze_and_move, put_in_motion, reserve

OF_INSTANCE, OF_DISK = "MoveInstance", "MoveDisk"
"""The types of the operations that moves have in the lists of operations."""

OF_INSTANCE_SNAPSHOT, OF_DISK_SNAPSHOT = "CreateInstanceSnapshot", "CreateDiskSnapshot"
"""Those of the snapshots that they are done by."""


def move_instance(backend: Backend, context: Context, params: Params) -> Answer:
    """Move the stopped instance `instanceName` with all its disks to the host `hostName`.

    Each disk is moved by a snapshot of it, which is kept. It is usable when the operation has
    succeeded, and filled from the vault by then or later. Where both hosts reach its layers, it
    stays as it is, and `snapshotName` is null.
    """
    call = Call(context, OF_INSTANCE, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, member(params, "instanceName"))
        backend.engine(instance)
        target = named_host(backend, transaction, instance.zone, member(params, "hostName"))
        _check_other(instance, target)
        if instance.state is not InstanceState.STOPPED:
            raise OperationFailureException(
                f"The instance {instance.name} is {instance.state.label}, and only stopped "
                "instances are moved. Stop it with stop-instance."
            )
        disks = transaction.disks.of_instance(instance.id)
        if not disks:
            return _move_alone(backend, transaction, call, instance, target)
        check_instance_made(backend, instance, disks, MOVE)
        if _both_reach(backend, instance, target):
            return _move_as_it_is(backend, transaction, call, instance, disks, target)
        check_instance_freezable(backend, transaction, instance, disks)
        now = backend.clock.now_ms()
        name = free_name(transaction, call.region, instance.name, "moved", now)
        reached = dict(context.access.tags)
        whole = recording.of_instance(backend, instance, disks, name, now, tags=reached)
        move = Move(whole, disks, instance, _job(backend, disks, instance, target, whole))
        reserve(transaction, move)
    return _do(backend, call, move, instance, target)


def move_disk(backend: Backend, context: Context, params: Params) -> Answer:
    """Move the disk `diskName`, which is attached to nothing, to the host `hostName`.

    As `move_instance` does.
    """
    call = Call(context, OF_DISK, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    with backend.catalog.write() as transaction:
        disk = find_disk(transaction, call.region, member(params, "diskName"))
        backend.engine(disk)
        target = named_host(backend, transaction, disk.zone, member(params, "hostName"))
        _check_other(disk, target)
        if disk.instance_id is not None:
            raise OperationFailureException(
                f"The disk {disk.name} is attached to the instance {disk.instance_name}: move "
                "that with move-instance, or detach the disk first."
            )
        check_made(backend, disk, MOVE)
        if _both_reach(backend, disk, target):
            return _move_as_it_is(backend, transaction, call, disk, [disk], target)
        check_freezable(backend, transaction, disk)
        now = backend.clock.now_ms()
        name = free_name(transaction, call.region, disk.name, "moved", now)
        reached = dict(context.access.tags)
        snapshot = recording.of_disk(backend, disk, name, now, tags=reached)
        move = Move(snapshot, [disk], None, _job(backend, [disk], None, target, snapshot))
        reserve(transaction, move)
    return _do(backend, call, move, disk, target)


def _both_reach(backend: Backend, moved: Disk | Instance, target: SeenHost) -> bool:
    """Whether the layers need not be moved. Raises OperationFailureException."""
    here, there = backend.engine(moved).shared, moved.zone in target.host.shared_zones
    if there and not here:
        raise OperationFailureException(
            f"The zone {moved.zone} is in a Ceph cluster on the host {target.host.name}, and a "
            "folder on this one: give both hosts the same settings for it."
        )
    return there


def _job(
    backend: Backend,
    disks: Sequence[Disk],
    instance: Instance | None,
    target: SeenHost,
    whole: Snapshot | None = None,
) -> Job:
    """What moves the disks, by a snapshot or as they are."""
    return Job(
        id=backend.ids.new_id(),
        key=f"move {disks[0].id}" if instance is None else instance.id,
        region=disks[0].region,
        zone=disks[0].zone,
        server=target.host.id,
        created_ms=backend.clock.now_ms(),
        arguments=MoveDisks(
            instance="" if instance is None else instance.id,
            disks=tuple(one.id for one in disks),
            snapshots=() if whole is None else tuple(one.id for one in whole.members),
            source=disks[0].host,
        ),
    )


def _move_as_it_is(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    moved: Disk | Instance,
    disks: Sequence[Disk],
    target: SeenHost,
) -> Answer:
    """The other host reaches the layers, too: it takes them when nobody works on them any more."""
    instance = moved if isinstance(moved, Instance) else None
    put_in_motion(transaction, disks, instance)
    job = _job(backend, disks, instance, target)
    begun = [operations.begin(backend, call, moved, details=f"to {target.host.name} as it is")]
    told = operations.record(transaction, operations.follow(transaction, job, begun))
    return call.remember(backend, transaction, {**told, "snapshotName": None})


def _do(
    backend: Backend, call: Call, move: Move, moved: Disk | Instance, target: SeenHost
) -> Answer:
    details = f"to {target.host.name} by {move.whole.name}"

    def answer(transaction: Transaction) -> Answer:
        kind = OF_INSTANCE_SNAPSHOT if move.instance is not None else OF_DISK_SNAPSHOT
        stored = [operations.begin(backend, call, move.whole, details=moved.name, kind=kind)]
        begun = [operations.begin(backend, call, moved, details=details)]
        waiting = operations.waiting(stored, move.whole.id)
        waiting += operations.waiting(begun, move.job.id)
        told = operations.record(transaction, waiting)
        return call.remember(backend, transaction, {**told, "snapshotName": move.whole.name})

    return freeze_and_move(backend, move, answer)


def _move_alone(
    backend: Backend, transaction: Transaction, call: Call, instance: Instance, target: SeenHost
) -> Answer:
    """An instance without disks is on another host by being called so."""
    transaction.instances.change(instance.id, host=target.host.id)
    if HOST_TAG in instance.tags:
        tags = {**instance.tags, HOST_TAG: target.host.name}
        transaction.tags.replace(instance.id, tags)
    details = f"to {target.host.name}"
    ended: list[Operation] = [
        operations.begin(backend, call, instance, details=details, ended=True)
    ]
    told = operations.record(transaction, ended)
    return call.remember(backend, transaction, {**told, "snapshotName": None})


def _check_other(moved: Disk | Instance, target: SeenHost) -> None:
    if moved.host == target.host.id:
        raise InvalidInputException(f"{moved.name} is on the host {target.host.name} already.")
