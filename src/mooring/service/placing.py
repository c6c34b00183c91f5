"""Chooses the host that something new is on, and finds the one that is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.counts import counted
from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import GIB
from mooring.model.names import shown
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import HOST_TAG, SeenHost
from mooring.model.resources.instance import Instance
from mooring.model.tags import Tags

SCARCE = 10
"""A host with less than this share of its room free, in percent, is chosen last."""


def host_for_disk(
    backend: Backend, transaction: Transaction, disk: Disk, tags: Tags | None = None
) -> str:
    """The host for a disk, by its tags or those given, or by room and number. See `_chosen`."""
    count, size = transaction.hosts.count_disks, disk.size_gb * GIB
    chosen = disk.tags if tags is None else tags
    host = _chosen(backend, transaction, disk.zone, chosen, size, count)
    backend.check_not_away(replace(disk, host=host))
    return host


def host_for_instance(backend: Backend, transaction: Transaction, zone: str, tags: Tags) -> str:
    """The host for a new instance, by the tag, or by room and number. See `_chosen`."""
    return _chosen(backend, transaction, zone, tags, 0, transaction.hosts.count_instances)


def check_stays(backend: Backend, source: Disk | Instance, tags: Tags) -> None:
    """Raise InvalidInputException if the tags of a fork wish for another host than its source's."""
    name, seen = tags.get(HOST_TAG), backend.hosts.find(source.host)
    here = None if seen is None else seen.host.name
    if not name or name == here:
        return
    there = "here" if here is None else f"on the host {here}"
    raise InvalidInputException(
        f"The tag {HOST_TAG} wishes for the host {shown(name)}, and a fork is where its disks are, "
        f"{there}. Leave it out; `mooring move-disk` and `mooring move-instance` move forks."
    )


def named_host(backend: Backend, transaction: Transaction, zone: str, name: str) -> SeenHost:
    """The host of that name, which is up. Raises InvalidInputException, and the other."""
    hosts = _of_zone(backend, transaction, zone)
    found = [one for one in hosts if one.host.name == name]
    if not found:
        known = ", ".join(sorted({one.host.name for one in hosts})) or "none"
        raise InvalidInputException(
            f"The zone {zone} has no host {shown(name)}; its hosts are: {known}."
        )
    up = [one for one in found if one.is_up]
    if not up:
        raise OperationFailureException(
            f"The host {name} is {found[0].shown} right now. Start it, or choose another.",
            "HostNotUp",
        )
    return up[0]


def held_host(backend: Backend, transaction: Transaction, name: str) -> SeenHost:
    """The host of that name, or id, which is neither started nor fenced before this ends.

    Raises NotFoundException, InvalidInputException.
    """
    now = backend.clock.now_ms()
    seen = transaction.hosts.by_id(name, now) or _one_of_name(transaction, name, now)
    if seen is None:
        known = ", ".join(sorted({one.host.name for one in transaction.hosts.all(now)})) or "none"
        raise NotFoundException(f"There is no host {shown(name)}; the hosts are: {known}.")
    if not backend.catalog.is_for_many:
        raise InvalidInputException(
            "There is only this host, and its catalog is a file: nothing can be restored on "
            "another. Several hosts need a catalog on PostgreSQL."
        )
    transaction.hosts.hold(seen.host.id)
    return transaction.hosts.by_id(seen.host.id, now) or seen


def _one_of_name(transaction: Transaction, name: str, now_ms: int) -> SeenHost | None:
    """The host of that name. Raises InvalidInputException if another one had it, and has things.

    A lost machine may be replaced by one of the same name before what it had is restored.
    """
    hosts = transaction.hosts
    found = [one for one in hosts.all(now_ms) if one.host.name == name]
    meant = [one for one in found if one.is_up or hosts.has_any(one.host.id)]
    if len(meant) > 1:
        told = ", ".join(
            f"{one.host.id} ({one.shown}, {counted(hosts.count_disks(one.host.id), 'disk')})"
            for one in meant
        )
        raise InvalidInputException(
            f"There are several hosts called {shown(name)}, one after the other. Say which one is "
            f"meant by its id: {told}."
        )
    return meant[0] if meant else hosts.by_name(name, now_ms)


def _chosen(
    backend: Backend,
    transaction: Transaction,
    zone: str,
    tags: Tags,
    size: int,
    count: Callable[[str], int],
) -> str:
    """The id of the host; empty where there is but one, or none is up.

    With enough room, if any has; of those the one with the fewest, or with the most room.
    """
    name = tags.get(HOST_TAG)
    if not backend.catalog.is_for_many:
        if name:
            raise InvalidInputException(
                f"The tag {HOST_TAG} chooses among several hosts, and there is only this one. "
                "Leave it out."
            )
        return ""
    if name:
        return named_host(backend, transaction, zone, name).host.id
    hosts = [one for one in _of_zone(backend, transaction, zone) if one.is_up]
    if not hosts:
        return ""

    def rank(one: SeenHost) -> tuple[bool, int, int]:
        scarce = one.free_bytes * 100 < one.capacity_bytes * SCARCE or one.free_bytes < size
        return scarce, count(one.host.id), -one.free_bytes

    return min(hosts, key=rank).host.id


def _of_zone(backend: Backend, transaction: Transaction, zone: str) -> list[SeenHost]:
    hosts = transaction.hosts.all(backend.clock.now_ms())
    return [one for one in hosts if zone in one.host.zones]
