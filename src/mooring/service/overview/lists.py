"""Short lists of disks, snapshots and instances, in pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.access import Access
from mooring.model.automatic.health import AutoHealth
from mooring.model.errors import EngineError, InvalidInputException
from mooring.model.operation import ResourceType
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.tags import Tags
from mooring.service.answers import pages
from mooring.service.overview.freshness import told
from mooring.service.overview.owners import owners

PAGE = 500
"""Entries of a page: some 200 kB."""

_DISKS, _INSTANCES = "disks", "instances"
"""Of what the snapshots of a page are: those of disks come first."""

Told = dict[str, Any]


def disks_listed(
    backend: Backend, access: Access, region: str, token: str | None
) -> tuple[list[Told], str | None]:
    """The next disks of a region, as they were made, and the token of the page after them.

    `takenBytes` is what a disk takes on its file system; null if another server has it.
    """
    after = pages.read_number(token) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.disks.page(region, after, PAGE)
        found = [one for one in found if access.reaches(one.tags)]
        ids = [one.id for one in found]
        newest = transaction.totals.newest_of(ids)
        health = _by_name(transaction.auto_failures.health(of=ids), ResourceType.DISK)
    now = backend.clock.now_ms()
    listed = [
        {
            "name": one.name,
            "id": one.id,
            "region": one.region,
            "zone": one.zone,
            "sizeInGb": one.size_gb,
            "takenBytes": _taken(backend, one),
            "state": one.state if backend.is_served(one) else DiskState.UNKNOWN,
            "attachedTo": one.instance_name,
            "path": one.path,
            "newestSnapshotAt": _seconds(newest.get(one.id)),
            "automatic": [told(each, now) for each in health.get(one.name, [])],
            "createdAt": one.created_ms / 1000,
            "tags": _tags(one.tags),
        }
        for one in found
    ]
    return listed, pages.token(more)


def instances_listed(
    backend: Backend, access: Access, region: str, token: str | None
) -> tuple[list[Told], str | None]:
    """The same of instances."""
    after = pages.read_number(token) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.instances.page(region, after, PAGE)
        found = [one for one in found if access.reaches(one.tags)]
        disks = {one.id: transaction.disks.of_instance(one.id) for one in found}
        ids = [one.id for one in found]
        health = _by_name(transaction.auto_failures.health(of=ids), ResourceType.INSTANCE)
    now = backend.clock.now_ms()
    listed = [_instance(one, disks[one.id], health.get(one.name, []), now) for one in found]
    return listed, pages.token(more)


def snapshots_listed(
    backend: Backend, access: Access, region: str, token: str | None, disk: str | None = None
) -> tuple[list[Told], str | None]:
    """The same of snapshots, automatic ones among them: of disks, then of instances.

    Of each the newest come first. `disk` is the name of the disk whose snapshots are wanted, also
    of one that is gone; then those that it has as part of an instance's snapshot are among them.
    """
    of, before = _position(token)
    with backend.catalog.read() as transaction:
        if of == _DISKS:
            known = None if disk is None else transaction.disks.by_name(region, disk)
            some, more = transaction.snapshots.latest(
                region,
                before,
                PAGE,
                disk_id=None if known is None else known.id,
                disk_name=disk,
            )
            owned = owners(transaction, some) if some else {}
            listed = [
                _of_disk(one, owned[one.id])
                for one in some
                if all(map(access.reaches, owned[one.id]))
            ]
            if more is not None:
                return listed, pages.token(f"{_DISKS} {more}")
            return listed, None if disk else pages.token(f"{_INSTANCES} 0")
        wholes, more = transaction.instance_snapshots.latest(region, before, PAGE)
        listed = [_of_instance(one, tags) for one, tags in _reached(transaction, access, wholes)]
    return listed, None if more is None else pages.token(f"{_INSTANCES} {more}")


def _position(token: str | None) -> tuple[str, int | None]:
    text = pages.read_text(token)
    if text is None:
        return _DISKS, None
    of, _, number = text.partition(" ")
    if of not in {_DISKS, _INSTANCES} or not (number.isascii() and number.isdigit()):
        raise InvalidInputException(
            "The page token is invalid. Use the nextPageToken of the previous page, unchanged."
        )
    return of, int(number) or None


def _reached(
    transaction: Transaction, access: Access, wholes: Iterable[InstanceSnapshot]
) -> Iterable[tuple[InstanceSnapshot, Tags]]:
    """The snapshots of instances that the caller may see, and whose tags say so."""
    for one in wholes:
        owned = owners(transaction, one.parts)
        tags = [one.tags] if one.auto is None else [each for of in owned.values() for each in of]
        if all(map(access.reaches, tags)) and (tags or not access.tags):
            yield one, tags[0] if tags else {}


def _instance(one: Instance, disks: list[Disk], health: list[AutoHealth], now_ms: int) -> Told:
    return {
        "name": one.name,
        "id": one.id,
        "region": one.region,
        "zone": one.zone,
        "state": one.state.label,
        "blueprintId": one.blueprint_id,
        "disks": len(disks),
        "disksGb": sum(disk.size_gb for disk in disks),
        "automatic": [told(each, now_ms) for each in health],
        "createdAt": one.created_ms / 1000,
        "tags": _tags(one.tags),
    }


def _of_disk(one: DiskSnapshot, owned: tuple[Tags, ...]) -> Told:
    return {
        "name": one.name,
        "id": one.id,
        "region": one.region,
        "kind": "disk",
        "of": one.disk_name or None,
        "automatic": one.auto is not None,
        "state": one.state,
        "progress": one.progress,
        "sizeInGb": one.size_gb,
        "changedBytes": one.changed_bytes,
        "storedBytes": one.stored_bytes,
        "consistency": one.consistency,
        "createdAt": one.created_ms / 1000,
        "completedAt": _seconds(one.completed_ms),
        "tags": _tags(owned[0]),
    }


def _of_instance(one: InstanceSnapshot, tags: Tags) -> Told:
    parts = one.parts
    kinds = {part.consistency for part in parts}
    ends = [part.completed_ms for part in parts]
    return {
        "name": one.name,
        "id": one.id,
        "region": one.region,
        "kind": "instance",
        "of": one.instance_name,
        "automatic": one.auto is not None,
        "state": one.state,
        "progress": one.progress,
        "sizeInGb": one.size_gb,
        "changedBytes": _sum(part.changed_bytes for part in parts),
        "storedBytes": _sum(part.stored_bytes for part in parts),
        "consistency": kinds.pop() if len(kinds) == 1 else None,
        "createdAt": one.created_ms / 1000,
        "completedAt": _seconds(None if None in ends else max(ends, default=None)),  # type: ignore[type-var]
        "tags": _tags(tags),
    }


def _by_name(found: Iterable[AutoHealth], kind: ResourceType) -> Mapping[str, list[AutoHealth]]:
    sorted_out: dict[str, list[AutoHealth]] = {}
    for one in found:
        if one.kind is kind:
            sorted_out.setdefault(one.name, []).append(one)
    return sorted_out


def _taken(backend: Backend, disk: Disk) -> int | None:
    if not backend.has(disk):
        return None  # its host would have to be asked
    try:
        return backend.engines[disk.zone].taken(disk.id)
    except EngineError:
        return None


def _sum(values: Iterable[int | None]) -> int | None:
    given = list(values)
    known = [one for one in given if one is not None]
    return sum(known) if len(known) == len(given) else None


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _tags(tags: Tags) -> list[dict[str, str | None]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
