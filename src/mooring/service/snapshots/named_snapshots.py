"""Finds the snapshot that a name in Mooring's own commands means."""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.model.automatic.moment import AutoName, choose, read_auto_name
from mooring.model.automatic.rules import name_of, stamp
from mooring.model.errors import InvalidInputException, NotFoundException
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.finding import find_bearer, find_instance_snapshot, find_snapshot


def named_snapshot(transaction: Transaction, region: str, name: str, now_ms: int) -> DiskSnapshot:
    """The snapshot of a disk: by its name, by `DISK@DATE`, or as a part, `WHOLE/DISK`.

    Who may name it is decided before, by what stands before the @ or the slash. Raises
    NotFoundException, InvalidInputException.
    """
    auto = read_auto_name(name)
    if auto is None:
        whole_name, slash, disk_name = name.partition("/")
        if not slash:
            return _of_disk(transaction, region, name)
        whole = find_instance_snapshot(transaction, region, whole_name)
        return _part(whole, disk_name)
    found = _chosen(transaction, region, auto, now_ms)
    if isinstance(found, DiskSnapshot):
        if auto.part is not None:
            raise InvalidInputException(
                f"{auto.of} is a disk, so its snapshots have no parts: omit /{auto.part}."
            )
        return found
    if auto.part is None:
        raise InvalidInputException(
            f"{auto.of} is an instance, and {found.name} a snapshot of all its disks. "
            + _choice(name, found)
        )
    return _part(found, auto.part)


def named_instance_snapshot(
    transaction: Transaction, region: str, name: str, now_ms: int
) -> InstanceSnapshot:
    """The snapshot of an instance: by its name, or by `INSTANCE@DATE`.

    Raises NotFoundException, InvalidInputException.
    """
    auto = read_auto_name(name)
    if auto is None:
        return find_instance_snapshot(transaction, region, name)
    found = _chosen(transaction, region, auto, now_ms)
    if not isinstance(found, InstanceSnapshot) or auto.part is not None:
        raise InvalidInputException(
            f"{name} is a snapshot of a disk, not of an instance: name it as such."
        )
    return found


def _chosen(transaction: Transaction, region: str, auto: AutoName, now_ms: int) -> Snapshot:
    resource: Disk | Instance = find_bearer(transaction, region, auto.of)
    return choose(
        auto,
        transaction.automatic_of(resource.id),
        lambda one: stamp(one.created_ms),
        lambda one: one.is_stored,
        now_ms,
    )


def _of_disk(transaction: Transaction, region: str, name: str) -> DiskSnapshot:
    whole = transaction.instance_snapshots.by_name(region, name)
    if whole is not None:
        raise InvalidInputException(
            f"{name} is a snapshot of an instance with all its disks. {_choice(name, whole)}"
        )
    return find_snapshot(transaction, region, name)


def _choice(name: str, whole: InstanceSnapshot) -> str:
    parts = ", ".join(f"{name}/{one.disk_name}" for one in whole.parts)
    return f"Name one of them: {parts}." if parts else "It holds none."


def _part(whole: InstanceSnapshot, disk_name: str) -> DiskSnapshot:
    for one in whole.parts:
        if one.disk_name == disk_name:
            return one
    disks = ", ".join(part.disk_name for part in whole.parts) or "none"
    raise NotFoundException(
        f"The snapshot {whole.name} holds no disk {disk_name[:80]}. Its disks: {disks}"
    )


def name_by_which_found(transaction: Transaction, snapshot: DiskSnapshot) -> str:
    """The name by which Mooring's own requests find it."""
    if snapshot.part_of is not None:
        whole = transaction.instance_snapshots.by_id(snapshot.part_of)
        if whole is None:
            return ""
        of = whole.name if whole.auto is None else name_of(whole.instance_name, whole.created_ms)
        return f"{of}/{snapshot.disk_name}"
    if snapshot.auto is not None:
        return name_of(snapshot.disk_name, snapshot.created_ms)
    return snapshot.name
