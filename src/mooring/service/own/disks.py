"""Questions about disks: who uses them, their health, how far they are filled."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import DiskHealth, Engine, Filling
from mooring.model.blueprints import HOST
from mooring.model.errors import (
    DiskBusyError,
    EngineError,
    HostError,
    InvalidInputException,
    OperationFailureException,
    VaultError,
    ZoneAbsentError,
)
from mooring.model.resources.disk import Attachment, Disk, DiskState, is_shared
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import FillDisk, OfDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.finding import find_disk, find_system_disk
from mooring.service.own.automatic import health
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.named_snapshots import name_by_which_found
from mooring.service.using import clients_of

PAGE = 500
"""Disks in one answer."""


def uri(backend: Backend, context: Context, params: Params) -> Answer:
    """The NBD URI of the disk `diskName`, which must be attached to a running instance.

    `instanceName` instead stands for the instance's system disk.
    Not of one that is this host's block device: a second writer beside it would be cut off.
    `hostName` is where its socket is, if there are several hosts.
    """
    disk, instance = served_to_others(backend, context, params)
    uri = backend.engine(disk).uri(instance.id, disk.name)
    return {"diskName": disk.name, "uri": uri, "hostName": backend.hosts.name(disk.host)}


def served_to_others(backend: Backend, context: Context, params: Params) -> tuple[Disk, Instance]:
    """A disk whose socket may be used, and its instance. Raises OperationFailureException."""
    disk, instance = _served(backend, context, params)
    if instance.blueprint_id == HOST and not is_shared(disk.tags):
        raise OperationFailureException(
            f"The disk {disk.name} is a block device of this host, "
            f"{backend.devices.device(disk.id) or 'which is not there at the moment'}, and is not "
            "served to anybody beside it. `mooring device` tells its path; to use it elsewhere, "
            "detach it and attach it to another instance, or take a snapshot."
        )
    return disk, instance


def device(backend: Backend, context: Context, params: Params) -> Answer:
    """The block device of the disk `diskName`, which must be attached to this host.

    One that was broken and that nobody uses is made anew first.
    """
    disk, instance = _served(backend, context, params)
    if instance.blueprint_id != HOST:
        raise OperationFailureException(
            f"The disk {disk.name} is attached to {instance.name}, which is not this host, so it "
            "is no block device here. `mooring uri` tells where it is served; a disk attached to "
            "an instance of the blueprint host is a block device."
        )
    uri = backend.engine(disk).uri(instance.id, disk.name)
    try:
        path = backend.devices.attach(disk.id, uri)
    except (DiskBusyError, HostError) as error:
        why = backend.devices.problem(disk.id) or str(error)
        raise OperationFailureException(
            f"The disk {disk.name} has no block device that works: {why}"
        ) from error
    return {
        "diskName": disk.name,
        "device": path,
        "usedBy": backend.devices.users(disk.id) or None,
        "hostName": backend.hosts.name(disk.host),
    }


def _unfilled(backend: Backend, disk: Disk) -> str:
    """What is wrong with what the disk reads from until it is filled; empty if nothing is."""
    reads: str | None = None
    with contextlib.suppress(EngineError):
        left = backend.engines[disk.zone].filling(disk.id)
        reads = None if left is None else left.snapshot_id
    if reads is None:
        return ""
    vault = backend.vaults.get(disk.region)
    with contextlib.suppress(VaultError):
        if vault is not None and not vault.has(reads):
            return (
                f"it is not filled yet, and the snapshot {reads}, which it reads from, is gone "
                "from the vault: revert the disk to another one, or make a new disk"
            )
    if reads == disk.origin_id:
        return ""
    return (
        f"it reads from the snapshot {reads}, but is recorded as made from {disk.origin_id}, as an "
        "earlier version did to forks of disks that were reverted just then: restart the server, "
        "which mends it"
    )


def _health(backend: Backend, disk: Disk) -> DiskHealth:
    if disk.host not in ("", backend.host):
        # That one tells.
        problem = backend.hosts.problem(disk.host) or backend.dropped(disk)
        where = f"on the host {backend.hosts.name(disk.host)}"
        return DiskHealth(ok=problem is None, problem=problem or where)
    if (why := backend.dropped(disk)) is not None:
        return DiskHealth(ok=False, problem=why)
    if disk.zone in backend.elsewhere:
        return DiskHealth(ok=True, problem=f"on no host yet, in the zone {disk.zone}")
    try:
        return backend.engines[disk.zone].health(disk.id)
    except ZoneAbsentError as error:
        return DiskHealth(ok=False, problem=str(error))


def _named(transaction: Transaction, context: Context, params: Params) -> Disk:
    instance_name = params.get("instanceName")
    if instance_name is None:
        return find_disk(transaction, context.region, member(params, "diskName"))
    if params.get("diskName") is not None:
        raise InvalidInputException("Give either diskName or instanceName, not both.")
    return find_system_disk(transaction, context.region, instance_name)[1]


def _served(backend: Backend, context: Context, params: Params) -> tuple[Disk, Instance]:
    with backend.catalog.read() as transaction:
        disk = _named(transaction, context, params)
        instance = transaction.instances.by_id(disk.instance_id) if disk.instance_id else None
    if instance is None or disk.attachment is not Attachment.ATTACHED:
        raise OperationFailureException(
            f"The disk {disk.name} is not attached to an instance, so it is not served. "
            "Attach it with attach-disk."
        )
    if instance.state is not InstanceState.RUNNING:
        raise OperationFailureException(
            f"The instance {instance.name} of the disk {disk.name} is {instance.state.label}, so "
            "its disks are not served. Start it with start-instance."
        )
    backend.engine(disk)
    return disk, instance


def disk(backend: Backend, context: Context, params: Params) -> Answer:
    """Who uses the disk `diskName`, and how far it is filled: bytes of its snapshot's range.

    That is the snapshot that it was made from or, if it was `reverted`, the one that it was set
    back to. `refused` is who was cut off last because another process used the disk; `problem` says
    why the filling, or the copying of a fork, did not go on when it was last tried.
    """
    with backend.catalog.read() as transaction:
        found = find_disk(transaction, context.region, member(params, "diskName"))
        origin = transaction.snapshots.by_id(found.origin_id) if found.origin_id else None
        jobs = transaction.jobs.of_kinds([JobKind.FILL_DISK, JobKind.FORK_DISK])
        automatic = health(backend, transaction, of=[found.id])
    lost = backend.hosts.problem(found.host) or backend.dropped(found)
    if lost is not None:
        return _unknown(found, origin, lost, automatic)
    engine = backend.engine(found)
    filling = engine.filling(found.id)
    problem = None if filling is None else _problem(found, filling, jobs)
    clients = clients_of(backend, found)
    layers = engine.health(found.id)
    pending = found.state is DiskState.PENDING and found.origin_id is not None
    return {
        "diskName": found.name,
        "id": found.id,
        "state": found.state,
        "originName": None if origin is None else origin.name,
        "reverted": not pending and _reverted(engine, found),
        "filled": filling is None and not pending,
        "filledBytes": None if filling is None else filling.done,
        "bytesToFill": None if filling is None else filling.total,
        "problem": problem,
        "clients": [
            {
                "pid": one.pid,
                "command": one.command,
                "connections": one.connections,
                "address": one.address or None,
            }
            for one in clients.connected
        ],
        "refused": clients.refused or None,
        "automatic": automatic,
        "layers": layers.layers or None,
        "takenBytes": _taken(engine, found),
        "frozenFor": _named_points(backend, layers.points),
    }


def _taken(engine: Engine, disk: Disk) -> int | None:
    try:
        return engine.taken(disk.id)
    except EngineError:
        return None  # its place does not answer


def _named_points(backend: Backend, points: Sequence[str]) -> list[str]:
    """The snapshots of frozen points, as far as they are known."""
    with backend.catalog.read() as transaction:
        found = [transaction.snapshots.by_id(one) for one in points]
        return [name_by_which_found(transaction, one) for one in found if one is not None]


def _unknown(disk: Disk, origin: DiskSnapshot | None, problem: str, automatic: object) -> Answer:
    """What can be told of a disk whose host nobody hears."""
    return {
        "diskName": disk.name,
        "id": disk.id,
        "state": DiskState.ERROR,
        "originName": None if origin is None else origin.name,
        "reverted": False,
        "filled": True,
        "filledBytes": None,
        "bytesToFill": None,
        "problem": problem,
        "clients": [],
        "refused": None,
        "automatic": automatic,
        "layers": None,
        "takenBytes": None,
        "frozenFor": [],
    }


def _problem(disk: Disk, filling: Filling, jobs: Sequence[Job]) -> str | None:
    """Why the job that brings the disk what it lacks did not go on."""
    for job in jobs:
        if job.given(OfDisk).disk != disk.id or filling.forked != (job.kind is JobKind.FORK_DISK):
            continue
        if filling.forked or job.given(FillDisk).snapshot == disk.origin_id:
            return job.error_details
    return None


def _reverted(engine: Engine, disk: Disk) -> bool:
    try:
        return engine.past(disk.id) is not None
    except EngineError:
        return False  # it has not been made, or is gone


def disks(backend: Backend, context: Context, params: Params) -> Answer:
    """How the region's disks are; a disk's newest completed snapshot is told if it is damaged.

    From `pageToken` on, as many as are looked at in a second or less, unless a daemon hangs.
    """
    after = pages.read_number(params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        found, more = transaction.disks.page(context.region, after, PAGE)
    return {
        "disks": [_told(backend, one) for one in found],
        "nextPageToken": pages.token(more),
    }


def _told(backend: Backend, one: Disk) -> Answer:
    health = DiskHealth(ok=True)
    if one.state not in (DiskState.ERROR, DiskState.PENDING):
        health = _health(backend, one)
        if health.ok and (problem := _unfilled(backend, one)):
            health = replace(health, ok=False, problem=problem)
    newest = None
    if health.damaged:
        with backend.catalog.read() as transaction:
            newest = transaction.snapshots.newest_name(one.id)
    return {
        "diskName": one.name,
        "zone": one.zone,
        "state": one.state,
        "ok": health.ok,
        "problem": health.problem,
        "damaged": health.damaged,
        "layers": health.layers,
        "newestSnapshotName": newest,
    }
