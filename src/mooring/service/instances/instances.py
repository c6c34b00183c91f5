"""Instances: the places where disks are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model import blueprints
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.names import check_name, name_taken, shown
from mooring.model.operation import Operation, ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job_arguments import (
    CreateInstance,
    DeleteInstance,
    OfInstance,
    RebootInstance,
    RestoreInstance,
    StartInstance,
    StopInstance,
)
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations, pages
from mooring.service.answers.instance_views import instance_view, state_view
from mooring.service.automatic.add_ons import begin_with, end_with, read_add_ons
from mooring.service.call import Call, Result
from mooring.service.finding import find_instance
from mooring.service.instances.own_blueprints import (
    add_system_disk,
    check_places,
    check_stored,
    find_blueprint,
    system_disk_name,
)
from mooring.service.instances.static_ip_attachment import detach
from mooring.service.placing import host_for_instance
from mooring.service.using import cut_off
from mooring.taking.leaving import DETACHED, give_up, is_given_up
from mooring.taking.rest import check_agent

MAX_NAMES = 20
"""Instances that one request may create."""


def create_instances(backend: Backend, call: Call) -> Result:
    """CreateInstances: registers a place for each name; nothing is booted.

    Of a blueprint of one's own each has a system disk.
    """
    params = call.params
    names = check_new_names(params["instanceNames"])
    check_bundle(params["bundleId"])
    read_add_ons(params, call.region)
    zone = backend.check_zone(call.region, params["availabilityZone"])
    tags = read_given_tags(ResourceType.INSTANCE, params.get("tags") or [])
    check_agent(backend, tags)
    key_pair = params.get("keyPairName")
    with backend.catalog.read() as transaction:
        own = _blueprint(backend, transaction, call)
    if own is not None:
        check_places(backend, call.region, zone)
    with backend.catalog.write() as transaction:
        own = _blueprint(backend, transaction, call)
        disk_names = {} if own is None else {name: system_disk_name(name) for name in names}
        check_free(transaction, call.region, [*names, *disk_names.values()])
        started = []
        for name in names:
            instance = Instance(
                id=backend.ids.new_id(),
                region=call.region,
                zone=zone,
                name=name,
                created_ms=backend.clock.now_ms(),
                support_code=backend.support_code("i"),
                blueprint_id=params["blueprintId"],
                bundle_id=params["bundleId"],
                key_pair=None if key_pair is None else check_name(key_pair),
                ip_address_type=params.get("ipAddressType") or "dualstack",
                host=host_for_instance(backend, transaction, zone, tags),
                tags=tags,
            )
            transaction.instances.add(instance)
            begin_with(backend, transaction, call, instance)
            arguments: OfInstance = CreateInstance(instance=instance.id)
            if own is not None:
                disk = add_system_disk(backend, transaction, instance, own, disk_names[name])
                arguments = RestoreInstance(
                    instance=instance.id, disks=(disk.id,), snapshots=(own.id,)
                )
            started += _enqueue(backend, transaction, call, arguments, instance, "CreateInstance")
        return operations.reply(backend, transaction, call, started)


def get_instance(backend: Backend, call: Call) -> Result:
    """GetInstance."""
    with backend.catalog.read() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        disks = transaction.disks.of_instance(instance.id)
    return {"instance": instance_view(backend, instance, disks)}


def get_instances(backend: Backend, call: Call) -> Result:
    """GetInstances: in the order of their making."""
    after = pages.read_number(call.params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.instances.page(call.region, after, pages.SIZE)
        disks = {one.id: transaction.disks.of_instance(one.id) for one in found}
    return {
        "instances": [instance_view(backend, one, disks[one.id]) for one in found],
        "nextPageToken": pages.token(more),
    }


def get_instance_state(backend: Backend, call: Call) -> Result:
    """GetInstanceState."""
    with backend.catalog.read() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
    return {"state": state_view(instance)}


def start_instance(backend: Backend, call: Call) -> Result:
    """StartInstance: its disks are served again."""
    return _turn(backend, call, InstanceState.STOPPED, InstanceState.PENDING, "start")


def stop_instance(backend: Backend, call: Call) -> Result:
    """StopInstance: its disks are flushed and no longer served.

    Whoever uses them is cut off, and named in the operation's details.
    """
    return _turn(backend, call, InstanceState.RUNNING, InstanceState.STOPPING, "stop")


def reboot_instance(backend: Backend, call: Call) -> Result:
    """RebootInstance: clients of its disks are cut off, and may connect again."""
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        backend.engine(instance)
        if instance.state is not InstanceState.RUNNING:
            raise OperationFailureException(
                "You can't reboot this instance right now. "
                f"The state of this instance is: {instance.state.label}"
            )
        check_devices(backend, "reboot", instance, transaction.disks.of_instance(instance.id))
        operations.enqueue(
            backend,
            transaction,
            RebootInstance(instance=instance.id),
            instance.id,
            instance.region,
            at=instance,
        )
        # As on the service, it has succeeded when the instance has been told.
        ended = [operations.begin(backend, call, instance, details="", ended=True)]
        return operations.reply(backend, transaction, call, ended)


def delete_instance(backend: Backend, call: Call) -> Result:
    """DeleteInstance: gone for clients at once; its disks are detached, and kept.

    Only its own system disk is deleted with it, and its automatic snapshots are. A static IP is
    detached, and kept. The operation's details name whoever is cut off.
    """
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        lost = is_given_up(backend, transaction, instance)
        if not lost:
            backend.engine(instance)
        disks = transaction.disks.of_instance(instance.id)
        under_way = (Attachment.ATTACHING, Attachment.DETACHING)
        if any(disk.attachment in under_way for disk in disks):
            raise OperationFailureException(
                f"A disk of the instance {instance.name} is being attached or detached. "
                "Please try again in a few minutes."
            )
        check_devices(backend, "delete", instance, disks)
        end_with(backend, transaction, call, instance)
        left = cut_off(backend, disks)
        begun = []
        own = [disk for disk in disks if disk.is_system]
        for disk in own:
            end_with(backend, transaction, call, disk)
            transaction.disks.remove(disk)
            begun.append(
                operations.begin(
                    backend, call, disk, details=instance.name, kind="DeleteDisk", ended=True
                )
            )
        for disk in disks:
            if disk.is_system:
                continue
            transaction.disks.change(disk.id, attachment=Attachment.DETACHING, instance_id=None)
            for resource, details in ((disk, instance.name), (instance, disk.name)):
                begun.append(
                    operations.begin(
                        backend, call, resource, details=details, kind="DetachDisk", ended=lost
                    )
                )
        if (static_ip := transaction.static_ips.of_instance(instance.id)) is not None:
            begun += detach(backend, transaction, call, static_ip)
        begun.append(operations.begin(backend, call, instance, details=left, ended=True))
        transaction.instances.remove(instance)
        if lost:
            _free_lost(backend, transaction, disks)
            return operations.reply(backend, transaction, call, begun)
        begun = operations.enqueue(
            backend,
            transaction,
            DeleteInstance(
                instance=instance.id,
                disks=tuple(disk.id for disk in disks),
                own=tuple(disk.id for disk in own),
            ),
            instance.id,
            instance.region,
            begun,
            at=instance,
        )
        return operations.reply(backend, transaction, call, begun)


def _free_lost(backend: Backend, transaction: Transaction, disks: Sequence[Disk]) -> None:
    """Free the disks of an instance whose host serves none any more."""
    for disk in disks:
        if disk.is_system:
            give_up(backend, transaction, disk)
        else:
            transaction.disks.change(disk.id, **DETACHED)


def check_devices(backend: Backend, verb: str, instance: Instance, disks: Iterable[Disk]) -> None:
    """Raise OperationFailureException if a disk is in use as a block device of this host."""
    for disk in disks:
        if users := backend.devices.users(disk.id):
            raise OperationFailureException(
                f"You can't {verb} this instance right now. The disk {disk.name}, on this host "
                f"{backend.devices.device(disk.id)}, is {users}: end that first."
            )


def check_new_names(asked: Sequence[str]) -> list[str]:
    """Return the names of instances to be made. Raises InvalidInputException."""
    names = [check_name(name) for name in asked]
    if not 1 <= len(names) <= MAX_NAMES:
        raise InvalidInputException(
            f"One request can create 1 to {MAX_NAMES} instances; this names {len(names)}."
        )
    if len(set(names)) < len(names):
        raise InvalidInputException("The instance names must differ from each other.")
    return names


def check_free(transaction: Transaction, region: str, names: Sequence[str]) -> None:
    """Raise InvalidInputException unless new instances and disks can have these names."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputException(
            f"The names of the new instances and disks must differ: {', '.join(twice)}."
        )
    if taken := transaction.names.taken(region, names):
        raise name_taken(taken)


def check_bundle(bundle_id: str) -> None:
    """Raise InvalidInputException if there is no such bundle."""
    if not blueprints.is_known_bundle(bundle_id):
        raise InvalidInputException(
            f"The bundle {shown(bundle_id)} does not exist. get-bundles lists all."
        )


def _blueprint(backend: Backend, transaction: Transaction, call: Call) -> DiskSnapshot | None:
    """The caller's own blueprint that the request names; None for one that has no system disk."""
    blueprint_id = call.params["blueprintId"]
    own = find_blueprint(transaction, call.context.access, call.region, blueprint_id)
    if own is not None:
        check_stored(own)
        return own
    if not blueprints.is_known_blueprint(blueprint_id):
        raise InvalidInputException(
            f"The blueprint {shown(blueprint_id)} does not exist. "
            "Use external to register a machine of your own; get-blueprints lists all."
        )
    check_host(backend, blueprint_id)
    return None


def check_host(backend: Backend, blueprint_id: str) -> None:
    """Raise InvalidInputException for an instance that is this host, if that cannot be had."""
    if blueprint_id == blueprints.HOST and (reason := backend.devices.why_not()):
        raise InvalidInputException(
            f"Disks cannot be attached to Mooring's own host: {reason}. Use the blueprint external "
            "and connect to the NBD URI that `mooring uri` prints.",
            "UnsupportedOperation",
        )


def _turn(
    backend: Backend, call: Call, before: InstanceState, meanwhile: InstanceState, verb: str
) -> Result:
    job = StartInstance if verb == "start" else StopInstance
    with backend.catalog.write() as transaction:
        instance = find_instance(transaction, call.region, call.params["instanceName"])
        backend.engine(instance)
        if instance.state is not before:
            raise OperationFailureException(
                f"You can't {verb} this instance right now. "
                f"The state of this instance is: {instance.state.label}"
            )
        left = None
        if verb == "stop":
            disks = transaction.disks.of_instance(instance.id)
            check_devices(backend, verb, instance, disks)
            left = cut_off(backend, disks)
        transaction.instances.change(instance.id, state=meanwhile.label)
        arguments = job(instance=instance.id)
        started = _enqueue(backend, transaction, call, arguments, instance, details=left)
        return operations.reply(backend, transaction, call, started)


def _enqueue(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    arguments: OfInstance,
    instance: Instance,
    operation_type: str | None = None,
    details: str | None = None,
) -> list[Operation]:
    return operations.enqueue(
        backend,
        transaction,
        arguments,
        instance.id,
        instance.region,
        [operations.begin(backend, call, instance, kind=operation_type, details=details)],
        at=instance,
    )
