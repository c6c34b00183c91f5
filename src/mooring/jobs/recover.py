"""What a starting server does with what an earlier one left.

1. Leases of the earlier server are void: its jobs can be acquired at once. Those of other servers
   of the catalog are left alone.
2. Requests that were recorded and not confirmed are confirmed after all, or taken back
   (taking/unconfirmed.py).
3. A disk that was being detached without a job for it is still attached.
4. The snapshots that disks still read from are served. Block devices of this host of which nobody
   has to write anything go; then the engines adopt the storage daemons that kept running, and start
   those that are missing; then the block devices are adopted.
5. Frozen points that no pending snapshot needs are released.
6. Disks that are not filled, and recorded with another snapshot than they read from, are recorded
   with that one (mend_origin.py).

Repeating any of it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.tables.disks import Made
from mooring.engine.interface import Export
from mooring.jobs import fill_disk
from mooring.jobs.mend_origin import mend_origin
from mooring.model.blueprints import HOST
from mooring.model.errors import EngineError, VaultError
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job_arguments import DeleteInstance
from mooring.model.resources.job_kind import JobKind
from mooring.taking import unconfirmed

DISKS_AT_ONCE = 1000
"""Disks that are read from the catalog at once."""

log = structlog.get_logger("mooring.jobs")


def recover(backend: Backend) -> None:
    """Bring catalog and engines together again, before any request or job."""
    with backend.catalog.write() as transaction:
        transaction.jobs.take_over(backend.this_server.id)
        transaction.jobs.upgrade()
    take_up(backend)


def take_up(backend: Backend) -> None:
    """Bring the catalog and those zones together that the backend has engines of.

    Before any request or job of these zones; those of others may go on.
    """
    with backend.catalog.read() as transaction:
        host = backend.host
        disks = [one for zone in backend.engines for one in transaction.disks.in_use(zone, host)]
        used = dict.fromkeys(one.instance_id for one in disks if one.instance_id is not None)
        instances = [
            instance
            for instance in transaction.instances.among(used)
            if instance.state in (InstanceState.RUNNING, InstanceState.STOPPING)
        ]
    fill_disk.resume(backend)
    _adopt(backend, disks, instances)
    unconfirmed.settle(backend)
    mended = False
    for disk in _made(backend):
        if disk.region in backend.vaults:
            _release(backend, disk)
        mended |= mend_origin(backend, disk.id, disk.zone)
    if mended:
        fill_disk.resume(backend)


def _made(backend: Backend) -> Iterator[Made]:
    """The disks that have been made, of all zones; only some of them are in memory at a time."""
    for zone in backend.engines:
        found = [Made(0, "", zone, "")]
        while found:
            with backend.catalog.read() as transaction:
                after = found[-1].seq
                found = transaction.disks.made(zone, after, DISKS_AT_ONCE, backend.host)
            yield from found


def _adopt(backend: Backend, disks: Sequence[Disk], instances: Sequence[Instance]) -> None:
    """Have engines and devices continue with the disks in use, at those instances that run."""
    # What the devices of disks that are leaving have taken, their jobs write first.
    leaving = _leaving(backend)
    disks = [*disks, *leaving]
    gone = [one.instance_id for one in leaving if one.instance_id is not None]
    wanted = {
        zone: _wanted(disks, zone, [*gone, *(one.id for one in instances)])
        for zone in backend.engines
    }
    # Other daemons are about to end, and whoever writes something to their disks would wait.
    served = chain.from_iterable(exports for each in wanted.values() for exports in each.values())
    _say(backend.devices.leave(_devices(backend) - {export.disk_id for export in served}))
    for zone, engine in backend.engines.items():
        engine.adopt(wanted[zone])
    hosts = [*gone, *(one.id for one in instances if one.blueprint_id == HOST)]
    _adopt_devices(backend, disks, hosts)


def _wanted(disks: Sequence[Disk], zone: str, running: list[str]) -> dict[str, list[Export]]:
    served = (Attachment.ATTACHED, Attachment.DETACHING)
    wanted: dict[str, list[Export]] = {instance_id: [] for instance_id in running}
    for disk in disks:
        if disk.zone == zone and disk.attachment in served and disk.instance_id in wanted:
            wanted[disk.instance_id].append(Export(disk.id, disk.name))
    return {instance_id: exports for instance_id, exports in wanted.items() if exports}


def _leaving(backend: Backend) -> list[Disk]:
    """Disks of deleted instances that are block devices yet, as they were attached."""
    known = set(backend.devices.known())
    found = []
    with backend.catalog.read() as transaction:
        for job in transaction.jobs.of_kind(JobKind.DELETE_INSTANCE):
            given = job.given(DeleteInstance)
            for disk in transaction.disks.among(known.intersection(given.disks)):
                found.append(replace(disk, instance_id=given.instance))
    return found


def _adopt_devices(backend: Backend, disks: Sequence[Disk], hosts: list[str]) -> None:
    """Bring the block devices of this host and the disks that are attached to it together."""
    uris = {}
    for zone, engine in backend.engines.items():
        for instance_id, exports in _wanted(disks, zone, hosts).items():
            for export in exports:
                uris[export.disk_id] = engine.uri(instance_id, export.name)
    _say(backend.devices.leave(_devices(backend) - uris.keys()))
    _say(backend.devices.adopt(uris))


def _devices(backend: Backend) -> set[str]:
    """What has a block device, but for disks of other zones: nothing of those was asked."""
    known = set(backend.devices.known())
    with backend.catalog.read() as transaction:
        found = transaction.disks.among(known)
    return known - {one.id for one in found if one.zone not in backend.engines}


def _say(problems: Mapping[str, str]) -> None:
    for disk_id, problem in problems.items():
        log.warning("a block device is not as it should be", disk=disk_id, why=problem)


def _release(backend: Backend, disk: Made) -> None:
    for point in unconfirmed.points(backend, disk.id, disk.zone):
        with backend.catalog.read() as transaction:
            snapshot = transaction.snapshots.by_id(point)
        if snapshot is not None and snapshot.is_pending and snapshot.disk_id == disk.id:
            continue
        # A clone's origin counts as stored while its root can still be a parent.
        try:
            vault = backend.vaults[disk.region]
            vault.check()
            stored = vault.has(point)
            backend.engines[disk.zone].release(disk.id, point, stored=stored)
        except (EngineError, VaultError) as error:
            log.warning("a frozen point could not be released", point=point, error=str(error))
