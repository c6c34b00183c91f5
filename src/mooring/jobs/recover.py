"""What a starting server does with what an earlier one left.

1. Leases of the earlier server are void: its jobs can be acquired at once. Those of other servers
   of the catalog are left alone.
2. A snapshot that was recorded but not confirmed: if the engine has its frozen point, or those
   of all parts of an instance's, they hold all that was written before the request, so it is
   confirmed; otherwise, or if users of a disk had to be at rest, the request is taken back.
   Its client had no reply either way, and asks again or checks.
   Before that, reverts that were recorded but not confirmed: if the engine has reverted the disk,
   that and the snapshot of what it held are confirmed; otherwise both are taken back. A revert is
   never done now: the disk may have been written to since.
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
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import DeleteInstance, ForkDisk, RevertDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import forking, freezing, recording, reverting
from mooring.taking.freezing import Left
from mooring.taking.verdict import NOT_RECORDED, refusal

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
    for job in _held(backend, JobKind.REVERT_DISK):
        _settle_revert(backend, job)
    with backend.catalog.read() as transaction:
        pending = transaction.snapshots.in_state(SnapshotState.PENDING)
    for whole_id in dict.fromkeys(one.part_of or one.id for one in pending if not one.frozen):
        with backend.catalog.read() as transaction:
            whole = transaction.snapshot(whole_id)
        # An automatic one is not the request of a client that waited: its job continues.
        if whole is not None and whole.auto is None:
            _confirm(backend, whole)
    _take_back_forks(backend)
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


def _confirm(backend: Backend, whole: Snapshot) -> None:
    """Confirm a snapshot that was not, or take it back: all parts together, or none."""
    if any(one.disk_zone not in backend.engines for one in whole.members):
        return  # nobody can say; the next start with the zone in the settings will
    with backend.catalog.read() as transaction:
        jobs = [transaction.jobs.by_id(one.id) for one in whole.members]
    if any(job is not None and not backend.runs(job) for job in jobs):
        return  # the host that has the disks will say, or is just freezing them
    left = freezing.left(whole, lambda one: _points(backend, one.disk_id, one.disk_zone))
    with backend.catalog.write() as transaction:
        found = [transaction.disks.by_id(one.disk_id) for one in whole.members]
        disks = [disk for disk in found if disk is not None]
        if left is Left.ALL and refusal(disks, {}, NOT_RECORDED) is None:
            recording.confirm(transaction, whole, None)
            log.info("confirmed a snapshot that was being taken", snapshot=whole.id)
        else:
            recording.take_back(transaction, whole)
            log.info("took back a snapshot that was not frozen", snapshot=whole.id)


def _take_back_forks(backend: Backend) -> None:
    """Forget forks whose requests were not answered."""
    held = _held(backend, JobKind.FORK_DISK)
    for waited_for in dict.fromkeys(job.waited_for for job in held):
        together = [job for job in held if job.waited_for == waited_for]
        try:
            for job in together:
                backend.engines[job.zone].delete(job.given(ForkDisk).disk)
        except EngineError as error:
            log.warning("what a fork left could not be removed", fork=waited_for, error=str(error))
            continue
        with backend.catalog.write() as transaction:
            forking.forget(transaction, together)
        log.info("took back a fork that was being made", fork=waited_for)


def _held(backend: Backend, kind: JobKind) -> list[Job]:
    """Jobs of requests that were not confirmed, of this host's disks in zones that there are."""
    with backend.catalog.read() as transaction:
        jobs = [one for one in transaction.jobs.of_kind(kind) if one.not_before_ms == HELD_MS]
    return [job for job in jobs if backend.runs(job) and job.zone in backend.engines]


def _settle_revert(backend: Backend, job: Job) -> None:
    disk = job.given(RevertDisk).disk
    try:
        with backend.catalog.write() as transaction:
            done = reverting.settle(backend, transaction, job)
    except EngineError as error:
        log.warning("what became of a revert is not known", disk=disk, error=str(error))
    else:
        log.info("settled a revert that was not answered", disk=disk, done=done)


def _release(backend: Backend, disk: Made) -> None:
    for point in _points(backend, disk.id, disk.zone):
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


def _points(backend: Backend, disk_id: str, zone: str) -> list[str]:
    try:
        return list(backend.engines[zone].points(disk_id))
    except EngineError as error:
        log.warning("a disk's points could not be read", disk=disk_id, error=str(error))
        return []
