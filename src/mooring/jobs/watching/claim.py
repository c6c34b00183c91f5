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
    """Take the disks that are on no host and whose layers lie here, with instances and jobs."""
    if not backend.host:
        return
    for zone, engine in backend.engines.items():
        with backend.catalog.read() as transaction:
            found = transaction.disks.on_no_host(zone)
        mine = [disk for disk in found if _is_here(engine, disk)]
        if mine:
            with backend.catalog.write() as transaction:
                _take(backend, transaction, mine)
            log.info("disks of before there were hosts are this one's", zone=zone, disks=len(mine))


def _take(backend: Backend, transaction: Transaction, disks: list[Disk]) -> None:
    ids = {disk.id for disk in disks}
    for disk in disks:
        transaction.disks.change_if_there(disk.id, host=backend.host)
        if disk.instance_id is not None:
            ids.add(disk.instance_id)
            transaction.instances.change_if_there(disk.instance_id, host=backend.host)
    transaction.jobs.bind(ids, backend.host)


def _is_here(engine: Engine, disk: Disk) -> bool:
    try:
        engine.points(disk.id)
    except EngineError:
        # One that was not made yet is its maker's.
        return False
    return True
