"""Attaching disks to instances, and detaching them."""

from __future__ import annotations

import re

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.counts import counted
from mooring.model.errors import (
    DiskAwayError,
    DiskBusyError,
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.operation import Operation
from mooring.model.resources.disk import MAX_DISKS_PER_INSTANCE, Attachment, Disk, DiskState
from mooring.model.resources.host import HOST_TAG
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job_arguments import AttachDisk, DetachDisk, OfAttachment
from mooring.service.answers import operations
from mooring.service.call import Call, Result
from mooring.service.finding import find_disk, find_instance
from mooring.service.using import clients_of

LEAVING_SECONDS = 2.0
LEAVING_PAUSE = 0.02
"""How long the client behind a block device may take to be gone, and how often to look."""

_PATH = re.compile(r"/dev/[a-z][a-z0-9]{1,30}")


def attach_disk(backend: Backend, call: Call) -> Result:
    """AttachDisk: the instance serves the disk over NBD as soon as both run."""
    params = call.params
    with backend.catalog.write() as transaction:
        # The instance first, as whoever deletes it has it.
        instance = find_instance(transaction, call.region, params["instanceName"])
        disk = find_disk(transaction, call.region, params["diskName"])
        backend.engine(disk)
        _check_attach(transaction, disk, instance, params["diskPath"])
        _check_host(backend, transaction, disk, instance)
        transaction.disks.change(
            disk.id,
            state=DiskState.IN_USE,
            attachment=Attachment.ATTACHING,
            instance_id=instance.id,
            path=params["diskPath"],
            auto_mounting=bool(params.get("autoMounting")),
        )
        arguments = AttachDisk(instance=instance.id, disk=disk.id)
        started = _enqueue(backend, transaction, call, arguments, disk, instance)
        return operations.reply(backend, transaction, call, started)


def detach_disk(backend: Backend, call: Call) -> Result:
    """DetachDisk: refused while a client is connected to the disk."""
    with backend.catalog.read() as transaction:
        disk = find_disk(transaction, call.region, call.params["diskName"])
    instance_id = _check_detach(disk)
    _stop_serving(backend, disk, instance_id)
    with backend.catalog.write() as transaction:
        instance = transaction.instances.by_id(instance_id)
        disk = find_disk(transaction, call.region, disk.name)
        _check_detach(disk)
        if instance is None or disk.instance_id != instance_id:
            raise _in_use(disk)
        transaction.disks.change(disk.id, attachment=Attachment.DETACHING)
        arguments = DetachDisk(instance=instance.id, disk=disk.id)
        started = _enqueue(backend, transaction, call, arguments, disk, instance)
        return operations.reply(backend, transaction, call, started)


def _stop_serving(backend: Backend, disk: Disk, instance_id: str) -> None:
    """Stop serving the disk. Raises OperationFailureException while it is in use."""
    engine = backend.engine(disk)
    device = backend.devices.device(disk.id)
    try:
        backend.devices.detach(disk.id)
    except DiskBusyError as error:
        raise _in_use(disk, f": {error}. Unmount it, and end what has it open") from None
    except DiskAwayError as error:
        raise OperationFailureException(
            f"You can't detach the disk {disk.name} right now: {error}; try again then, or once "
            "the disk is served.",
            "DiskAway",
        ) from None
    deadline = backend.clock.monotonic() + LEAVING_SECONDS
    while True:
        try:
            engine.detach(instance_id, disk.id)
        except DiskBusyError:
            if device is None:
                raise _in_use(disk, _used(backend, disk)) from None
            # The device was a client itself, and its leaving may not be noticed yet.
            if backend.clock.monotonic() > deadline:
                why = _used(backend, disk)
                backend.devices.attach(disk.id, engine.uri(instance_id, disk.name))
                raise _in_use(disk, why) from None
            backend.clock.sleep(LEAVING_PAUSE)
        else:
            return


def _enqueue(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    arguments: OfAttachment,
    disk: Disk,
    instance: Instance,
) -> list[Operation]:
    return operations.enqueue(
        backend,
        transaction,
        arguments,
        instance.id,
        disk.region,
        [
            operations.begin(backend, call, disk, details=instance.name),
            operations.begin(backend, call, instance, details=disk.name),
        ],
        at=disk,
    )


def _check_attach(transaction: Transaction, disk: Disk, instance: Instance, path: str) -> None:
    if not _PATH.fullmatch(path):
        raise InvalidInputException(
            "The disk path is invalid. You must specify a valid disk path. (For example /dev/xvdf.)"
        )
    if disk.zone != instance.zone:
        raise InvalidInputException(
            f"The disk {disk.name} is in {disk.zone} and the instance {instance.name} in "
            f"{instance.zone}: both must be in the same availability zone."
        )
    if disk.state is not DiskState.AVAILABLE:
        why = "" if disk.instance_id is None else f": {_place(disk)}. Detach it first"
        raise OperationFailureException(
            f"You can't attach this disk right now. The state of this disk is: {disk.state}{why}"
        )
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise OperationFailureException(
            "You can't attach a disk to this instance right now. "
            f"The state of this instance is: {instance.state.label}"
        )
    attached = transaction.disks.of_instance(instance.id)
    count = sum(not other.is_system for other in attached)
    if count >= MAX_DISKS_PER_INSTANCE:
        raise InvalidInputException(
            f"The instance {instance.name} has {counted(count, 'disk')} attached; "
            f"{MAX_DISKS_PER_INSTANCE} is the limit. Detach one first."
        )
    if path in [other.path for other in attached]:
        raise InvalidInputException(
            f"The disk path {path} is already used on the instance {instance.name}. Choose another."
        )


def _check_host(backend: Backend, transaction: Transaction, disk: Disk, instance: Instance) -> None:
    """See that both are on one host; an instance that has no disks yet comes to its first one."""
    if disk.host == instance.host:
        return
    if not transaction.disks.of_instance(instance.id) and not instance.tags.get(HOST_TAG):
        transaction.instances.change(instance.id, host=disk.host)
        return
    there, here = backend.hosts.name(disk.host), backend.hosts.name(instance.host)
    raise OperationFailureException(
        f"The disk {disk.name} is on the host {there} and the instance {instance.name} on {here}. "
        f"Move the disk with `mooring move-disk --disk-name {disk.name} --host {here}`, or make "
        f"disks for this instance with the tag {HOST_TAG}={here}.",
        "OnAnotherHost",
    )


def _check_detach(disk: Disk) -> str:
    if disk.attachment is Attachment.DETACHED or disk.instance_id is None:
        raise OperationFailureException(f"The disk {disk.name} is not attached to an instance.")
    if disk.is_system:
        raise OperationFailureException(
            f"The disk {disk.name} is the system disk of the instance {disk.instance_name} and "
            "cannot be detached. To use its content elsewhere, fork it, or take a snapshot and "
            "make a disk of that."
        )
    if disk.attachment is not Attachment.ATTACHED:
        raise _in_use(disk)
    return disk.instance_id


def _place(disk: Disk) -> str:
    if disk.attachment is Attachment.ATTACHED:
        return f"it is attached to the instance {disk.instance_name}"
    return f"it is {disk.attachment} at the instance {disk.instance_name}"


def _used(backend: Backend, disk: Disk) -> str:
    """Who is connected, and the way out; a client may leave before it can be named."""
    clients = clients_of(backend, disk)
    who = f"{clients} is connected to it" if clients else "a client is connected to it"
    return f": {who}. Disconnect it or shut that machine down, or cut it off with stop-instance"


def _in_use(disk: Disk, why: str = "") -> OperationFailureException:
    return OperationFailureException(
        f"You can't detach this disk right now. The state of this disk is: {disk.state}{why}"
    )
