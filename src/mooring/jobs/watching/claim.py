"""Disks of a catalog from before there were hosts become their host's."""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Engine
from mooring.model.errors import EngineError
from mooring.model.resources.disk import Disk

log = structlog.get_logger("mooring.jobs")


def claim(backend: Backend) -> None:
    """Take the disks that are on no host and whose layers lie here, with instances and jobs.

    Where several hosts reach the layers, each may find them; who comes second takes none.
    """
    if not backend.host:
        return
    for zone, engine in backend.engines.items():
        with backend.catalog.read() as transaction:
            found = transaction.disks.on_no_host(zone)
        here = [disk for disk in found if _is_here(engine, disk)]
        if here:
            with backend.catalog.write() as transaction:
                taken = _take(backend, transaction, here)
            log.info("disks of before there were hosts are this one's", zone=zone, disks=taken)


def _take(backend: Backend, transaction: Transaction, disks: list[Disk]) -> int:
    """Take what no other host has taken since it was read; returns how many disks."""
    host, ids, taken = backend.host, set[str](), 0
    for disk in disks:
        # Disks stay with the others of their instance.
        if disk.instance_id is not None:
            if not transaction.instances.take_to(host, disk.instance_id):
                continue
            ids.add(disk.instance_id)
        if transaction.disks.take_to(host, disk.id):
            ids.add(disk.id)
            taken += 1
    transaction.jobs.bind(ids, host)
    return taken


def _is_here(engine: Engine, disk: Disk) -> bool:
    try:
        engine.points(disk.id)
    except EngineError:
        # One that was not made yet is its maker's.
        return False
    return True
