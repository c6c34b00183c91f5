"""Fencing a host that is lost, and restoring what it had on others."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import (
    HostElsewhereException,
    MooringError,
    OperationFailureException,
    ServiceError,
)
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import HostState, SeenHost
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import MoveDisks
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.ending_servers import end_server
from mooring.service.own.own_request import Answer, member
from mooring.service.placing import held_host, host_for_disk, host_for_instance, named_host
from mooring.taking.leaving import CODE, leave_jobs
from mooring.taking.moving import put_in_motion

OF_INSTANCE, OF_DISK = "RestoreInstance", "RestoreDisk"
"""The types of the operations that what is restored has in the lists of operations."""

log = structlog.get_logger("mooring.service")


def fence(backend: Backend, context: Context, params: Params) -> Answer:
    """Let the host `hostName` count for nothing any more: its disks can be restored elsewhere.

    One that is heard of is fenced only with `force`: what is written to its disks from now on may
    be lost. Where other hosts reach its layers, one of them shuts it out of those; the answer names
    the zones in which none does that yet. Of a server that is no host, its imports and exports end.
    """
    del context
    with backend.catalog.write() as transaction:
        if (told := end_server(backend, transaction, params)) is not None:
            return told
        seen = held_host(backend, transaction, member(params, "hostName"))
        if seen.is_up and not params.get("force"):
            raise OperationFailureException(
                f"The host {seen.host.name} is up, and was heard of just now. Stop its machine "
                "first, or say --force: what is written to its disks from then on may be lost.",
                "HostUp",
            )
        _go_where_it_can_be_shut_out(backend, transaction, seen)
        if seen.state is not HostState.FENCED:
            transaction.hosts.fence(seen.host.id)
        ended = leave_jobs(backend, transaction, seen.host)
    backend.hosts.forget()
    _shut_out(backend, seen)
    log.warning("a host was fenced", host=seen.host.name, jobs=ended)
    left = sorted(set(seen.host.shared_zones) - _reached(backend, seen))
    return {"hostName": seen.host.name, "isHost": True, "jobsEnded": ended, "notShutOut": left}


def _reached(backend: Backend, seen: SeenHost) -> set[str]:
    """The zones in which this server reaches the layers of the host's disks, too."""
    here = {zone for zone, engine in backend.engines.items() if engine.shared}
    return here & seen.host.touched_zones


def _go_where_it_can_be_shut_out(
    backend: Backend, transaction: Transaction, seen: SeenHost
) -> None:
    """Raise HostElsewhereException if another host reaches the lost one's layers, and this none."""
    shared = set(seen.host.shared_zones)
    if not shared or _reached(backend, seen):
        return
    for other in transaction.hosts.all(backend.clock.now_ms()):
        zones = shared & set(other.host.shared_zones) & set(other.host.zones)
        if zones and other.is_up and other.host.id not in (seen.host.id, backend.host):
            name = other.host.name
            raise HostElsewhereException(
                f"The host {name} reaches the layers of {seen.host.name}: ask its server.",
                other.host.id,
                min(zones),
            )


def _shut_out(backend: Backend, seen: SeenHost) -> None:
    """Let nothing arrive that it still writes to layers which this server reaches, too."""
    for zone in _reached(backend, seen):
        try:
            backend.engines[zone].fence(seen.host.id)
        except MooringError as error:
            raise OperationFailureException(
                f"The host {seen.host.name} is fenced in the catalog, but not shut out of the "
                f"layers of the zone {zone}: {error}. Say this again.",
                "NotShutOut",
            ) from error


def restore_host(backend: Backend, context: Context, params: Params) -> Answer:
    """Restore what the fenced host `hostName` had on others, from the newest snapshots.

    On `targetName`, or where there is room. Instances have all their disks, or are left as they
    are; those that ran run again. The answer says what is restored, from which snapshots, and
    what is `left`, and why.
    """
    name, target = member(params, "hostName"), params.get("targetName")
    with backend.catalog.write() as transaction:
        seen = held_host(backend, transaction, name)
        _check_fenced(seen)
        # Of a request that was under way when the host was fenced there may be more by now.
        leave_jobs(backend, transaction, seen.host)
        instances = transaction.instances.on_host(seen.host.id)
        disks = transaction.disks.alone_on_host(seen.host.id)
    restored, left = [], []
    whole: Sequence[Instance | Disk] = [*instances, *disks]
    for one in whole:
        try:
            restored.append(_restore(backend, context, seen, one, target))
        except ServiceError as error:
            left.append({"name": one.name, "region": one.region, "why": error.message})
    return {"hostName": seen.host.name, "restored": restored, "left": left}


def _restore(
    backend: Backend,
    context: Context,
    lost: SeenHost,
    one: Instance | Disk,
    target: str | None,
) -> Answer:
    """Begin to restore an instance, or a disk that is attached to none. Raises ServiceErrors."""
    with backend.catalog.write() as transaction:
        _check_fenced(held_host(backend, transaction, lost.host.id))
        if (under_way := _under_way(backend, transaction, lost, one)) is not None:
            return under_way
        instance = transaction.instances.by_id(one.id) if isinstance(one, Instance) else None
        if isinstance(one, Instance):
            disks = transaction.disks.of_instance(one.id)
        else:
            disks = [disk for disk in [transaction.disks.by_id(one.id)] if disk is not None]
        if one.host != lost.host.id or (instance is None and not disks):
            raise OperationFailureException(f"{one.name} was deleted, or moved, meanwhile.")
        if isinstance(one, Instance) and any(disk.host != lost.host.id for disk in disks):
            raise OperationFailureException(f"A disk of {one.name} is on another host.")
        host = _host(backend, transaction, one, target)
        # Where the other host reaches the layers, too, it has the disks as they are.
        as_it_is = {one.zone} <= set(lost.host.shared_zones) & set(host.host.shared_zones)
        snapshots = [] if as_it_is else [_newest(transaction, disk) for disk in disks]
        stopped = _end_moves(backend, transaction, one)
        starts = instance is not None and instance.state is not InstanceState.STOPPED
        starts = starts and not stopped
        put_in_motion(transaction, disks, instance)
        job = Job(
            id=backend.ids.new_id(),
            # What the lost host has yet to store of a disk stands in the disk's own line.
            key=f"move {one.id}" if instance is None else one.id,
            region=one.region,
            zone=one.zone,
            server=host.host.id,
            created_ms=backend.clock.now_ms(),
            arguments=MoveDisks(
                instance="" if instance is None else instance.id,
                disks=tuple(disk.id for disk in disks),
                snapshots=tuple(snapshot for snapshot, _ in snapshots),
                source=lost.host.id,
                lost=True,
                start=starts,
            ),
        )
        names = [name for _, name in snapshots]
        kind = OF_DISK if instance is None else OF_INSTANCE
        origin = "as it was" if as_it_is else f"from {', '.join(names) or 'nothing'}"
        details = f"to {host.host.name} {origin}"
        call = Call(context, kind, {})
        begun = [operations.begin(backend, call, one, details=details)]
        operations.record(transaction, operations.follow(transaction, job, begun))
    return _told(one, host.host.name, names, begun[0].id, as_it_was=as_it_is)


def _told(
    one: Instance | Disk, host: str, snapshots: Sequence[str], operation: str, *, as_it_was: bool
) -> Answer:
    return {
        "name": one.name,
        "region": one.region,
        "hostName": host,
        "snapshotNames": list(snapshots),
        "asItWas": as_it_was,
        "operationId": operation,
    }


def _end_moves(backend: Backend, transaction: Transaction, one: Instance | Disk) -> bool:
    """Have a move done by nobody that was asked for while the host was well; whether there was one.

    Its target may be lost, too, and what is restored would wait for it. What is moved is stopped.
    """
    ended = False
    for job in transaction.jobs.of_kind(JobKind.MOVE_DISKS):
        given, now = job.given(MoveDisks), backend.clock.now_ms()
        if one.id in (given.instance, *given.disks):
            why = "the host that it was on is lost, and it is restored"
            transaction.operations.finish(job.waited_for, now, CODE, why)
            transaction.jobs.remove_all(job.id)
            ended |= not given.start
    return ended


def _under_way(
    backend: Backend, transaction: Transaction, lost: SeenHost, one: Instance | Disk
) -> Answer | None:
    """What was answered when it was asked to be restored before, which is not done yet."""
    for job in transaction.jobs.of_kind(JobKind.MOVE_DISKS):
        given = job.given(MoveDisks)
        whole = given.instance or given.disks[0]
        if not given.lost or given.source != lost.host.id or whole != one.id or job.undoing:
            continue
        host = transaction.hosts.by_id(job.server, backend.clock.now_ms())
        found = [transaction.snapshots.by_id(snapshot) for snapshot in given.snapshots]
        names = [snapshot.name for snapshot in found if snapshot is not None]
        began = transaction.operations.waiting_for(job.id)
        name = job.server if host is None else host.host.name
        # Instances without disks are moved by nothing, and by no snapshot.
        as_it_was = bool(given.disks) and not given.snapshots
        return _told(one, name, names, began[0].id if began else "", as_it_was=as_it_was)
    return None


def _host(
    backend: Backend, transaction: Transaction, one: Instance | Disk, target: str | None
) -> SeenHost:
    if target is not None:
        return named_host(backend, transaction, one.zone, target)
    # Its own tag names the host that is lost.
    chosen = (
        host_for_instance(backend, transaction, one.zone, {})
        if isinstance(one, Instance)
        else host_for_disk(backend, transaction, one, {})
    )
    found = transaction.hosts.all(backend.clock.now_ms())
    for seen in found:
        if seen.host.id == chosen:
            return seen
    raise OperationFailureException(f"The zone {one.zone} has no other host that is up.")


def _newest(transaction: Transaction, disk: Disk) -> tuple[str, str]:
    """Id and name of the newest stored snapshot of the disk, or of what it was made from."""
    candidates = transaction.snapshots.stored_of_disk(disk.id)
    if disk.origin_id is not None:
        candidates = [*candidates, disk.origin_id]
    for snapshot_id in candidates:
        snapshot = transaction.snapshots.by_id(snapshot_id)
        if (
            snapshot is not None
            and snapshot.region == disk.region
            and snapshot.state is SnapshotState.COMPLETED
        ):
            return snapshot.id, snapshot.name
    raise OperationFailureException(
        f"The disk {disk.name} has no stored snapshot: what it held is on the lost host only. "
        "Bring that back if you can."
    )


def _check_fenced(seen: SeenHost) -> None:
    if seen.state is not HostState.FENCED:
        name = seen.host.name
        raise OperationFailureException(
            f"The host {name} is {seen.shown}, not fenced. If it is lost, see that its machine is "
            f"off and say `mooringd fence {name}`; if it is up, use `mooring move-instance`.",
            "HostNotFenced",
        )
