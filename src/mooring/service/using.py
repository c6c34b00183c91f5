"""Who uses disks: named wherever a disk is to be taken from them."""

from __future__ import annotations

from collections.abc import Iterable

from mooring.backend.backend import Backend
from mooring.engine.interface import Clients
from mooring.model.resources.disk import Disk


def clients_of(backend: Backend, disk: Disk) -> Clients:
    """The processes connected to the disk."""
    return backend.engines[disk.zone].clients(disk.id) if backend.has(disk) else Clients()


def cut_off(backend: Backend, disks: Iterable[Disk]) -> str | None:
    """For an operation's details: whom it cuts off from which disk; None if nobody."""
    users = [(disk.name, clients) for disk in disks if (clients := clients_of(backend, disk))]
    return "; ".join(f"cut off from {name}: {clients}" for name, clients in users) or None
