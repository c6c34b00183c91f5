"""Finds resources by the names that requests give."""

from __future__ import annotations

from mooring.catalog.tables.rows import ResourceRows, Value
from mooring.catalog.transaction import Transaction
from mooring.model.automatic.moment import LATEST, AutoName, read_auto_name
from mooring.model.errors import InvalidInputException, NotFoundException
from mooring.model.names import check_name, is_name
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.key_pair import KeyPair
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.static_ip import StaticIp
from mooring.model.resources.system_disk import SYSTEM_DISK_TAG, named_by_tag, system_disk
from mooring.service.answers.operations import Resource


def find_disk(transaction: Transaction, region: str, name: str) -> Disk:
    """The disk with that name. Raises NotFoundException, InvalidInputException."""
    return _named(transaction.disks, region, name)


def find_snapshot(transaction: Transaction, region: str, name: str) -> DiskSnapshot:
    """The snapshot of a disk with that name. Raises as `find_disk`."""
    return _named(transaction.snapshots, region, name)


def find_instance(transaction: Transaction, region: str, name: str) -> Instance:
    """The instance with that name. Raises as `find_disk`."""
    return _named(transaction.instances, region, name)


def find_system_disk(transaction: Transaction, region: str, name: str) -> tuple[Instance, Disk]:
    """The instance with that name, and its system disk, attached or on the way there or back.

    Raises as `find_disk`; InvalidInputException also if it has none.
    """
    instance = find_instance(transaction, region, name)
    disk = system_disk(instance, transaction.disks.of_instance(instance.id))
    if disk is not None:
        return instance, disk
    named = named_by_tag(instance)
    if named is not None:
        raise InvalidInputException(
            f"The tag {SYSTEM_DISK_TAG} of the instance {name} names the disk {named}, which is "
            "not attached to it: attach that disk, or change the tag."
        )
    raise InvalidInputException(
        f"The instance {name} has no system disk here. If its machine boots from a disk that is "
        f"attached to it, name that disk in the instance's tag {SYSTEM_DISK_TAG}. Otherwise give "
        "diskName instead of instanceName. For a snapshot of all its disks there is "
        "create-instance-snapshot.",
        "UnsupportedOperation",
    )


def find_instance_snapshot(transaction: Transaction, region: str, name: str) -> InstanceSnapshot:
    """The instance snapshot with that name. Raises as `find_disk`."""
    return _named(transaction.instance_snapshots, region, name)


def find_key_pair(transaction: Transaction, region: str, name: str) -> KeyPair:
    """The key pair with that name. Raises as `find_disk`."""
    return _named(transaction.key_pairs, region, name)


def find_static_ip(transaction: Transaction, region: str, name: str) -> StaticIp:
    """The static IP with that name. Raises as `find_disk`."""
    return _named(transaction.static_ips, region, name)


def find_of_either_kind(transaction: Transaction, region: str, name: str) -> Snapshot:
    """The snapshot of a disk, or of an instance, with that name. Raises as `find_disk`."""
    found = transaction.names.find(region, _check(name))
    snapshot = None if found is None else transaction.snapshot(found[1])
    if snapshot is None:
        raise NotFoundException(f"The snapshot does not exist: {name}")
    return snapshot


def find_bearer(transaction: Transaction, region: str, name: str) -> Disk | Instance:
    """The disk or instance with that name, which alone have add-ons. Raises as `find_disk`."""
    kind, resource = find_resource(transaction, region, name)
    if not isinstance(resource, Disk | Instance):
        raise InvalidInputException(f"Only disks and instances have add-ons; {name} is a {kind}.")
    return resource


def find_resource(
    transaction: Transaction, region: str, name: str
) -> tuple[ResourceType, Resource]:
    """The resource of any type with that name, and its type. Raises as `find_disk`."""
    found = transaction.names.find(region, check_name(name))
    resource = None if found is None else _by_id(transaction, *found)
    if found is None or resource is None:
        raise NotFoundException(f"The resource does not exist: {name}")
    return found[0], resource


def _named(rows: ResourceRows[Value], region: str, name: str) -> Value:
    found = rows.by_name(region, _check(name))
    if found is None:
        raise NotFoundException(f"The {rows.kind} does not exist: {name}")
    return found


def _check(name: str) -> str:
    """The name; InvalidInputException says what names automatic snapshots instead."""
    if not is_name(name) and (chosen := _automatic(name)) is not None:
        latest = chosen.when == LATEST
        choice = "--use-latest-restorable-auto-snapshot" if latest else "--restore-date DATE"
        raise InvalidInputException(
            f"{name} names an automatic snapshot only for Mooring's own commands. To start from it "
            f"or copy it, name {chosen.of} with --source-disk-name, --source-instance-name or "
            f"--source-resource-name, and give {choice}; delete-auto-snapshot deletes it."
        )
    return check_name(name)


def _automatic(name: str) -> AutoName | None:
    try:
        return read_auto_name(name)
    except InvalidInputException:
        return None


def _by_id(transaction: Transaction, kind: ResourceType, resource_id: str) -> Resource | None:
    if kind is ResourceType.DISK:
        return transaction.disks.by_id(resource_id)
    if kind is ResourceType.DISK_SNAPSHOT:
        return transaction.snapshots.by_id(resource_id)
    if kind is ResourceType.INSTANCE_SNAPSHOT:
        return transaction.instance_snapshots.by_id(resource_id)
    if kind is ResourceType.STATIC_IP:
        return transaction.static_ips.by_id(resource_id)
    if kind is ResourceType.KEY_PAIR:
        return transaction.key_pairs.by_id(resource_id)
    return transaction.instances.by_id(resource_id)
