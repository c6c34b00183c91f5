"""Serving disks at instances: over NBD, and on this host as block devices."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from mooring.backend.backend import Backend
from mooring.engine.interface import Export
from mooring.model.blueprints import HOST
from mooring.model.errors import DiskAwayError, DiskBusyError, MooringError
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance

log = structlog.get_logger("mooring.jobs")


def serve(backend: Backend, instance_id: str, instance: Instance | None, disk: Disk) -> None:
    """Serve a disk at an instance, which may be gone from the catalog."""
    engine = backend.engines[disk.zone]
    filling = engine.filling(disk.id)
    if filling is not None and not filling.forked:
        backend.server(disk.region).ensure()
    engine.attach(instance_id, Export(disk.id, disk.name))
    if instance is not None and instance.blueprint_id == HOST:
        backend.devices.attach(disk.id, engine.uri(instance_id, disk.name))


def serve_what_can_be(backend: Backend, instance: Instance, disks: Iterable[Disk]) -> None:
    """Serve disks at their instance; of those that cannot be served now the log tells."""
    for disk in disks:
        try:
            serve(backend, instance.id, instance, disk)
        except MooringError as error:
            log.warning("a disk is not served", disk=disk.id, error=str(error))


def withdraw(backend: Backend, disk_ids: Iterable[str]) -> None:
    """Take away the disks' block devices: all, or none if one is in use.

    Raises DiskAwayError if disks are not served right now; the devices of others are gone.
    """
    devices = backend.devices
    known = list(disk_ids)
    for disk_id in known:
        if users := devices.users(disk_id):
            raise DiskBusyError(f"{devices.device(disk_id)} is {users}")
    away: DiskAwayError | None = None
    for disk_id in known:
        try:
            devices.detach(disk_id)
        except DiskAwayError as error:
            away = error
    if away is not None:
        raise away
