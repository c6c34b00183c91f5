"""Moving disks to another host: what is recorded, and the freeze."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import MoveDisks
from mooring.taking import freezing, recording
from mooring.taking.attempt import attempt

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Move:
    """The disks of `whole` are to be moved by it; `instance` has them attached, if one has."""

    whole: Snapshot
    disks: Sequence[Disk]
    instance: Instance | None
    job: Job


def reserve(transaction: Transaction, move: Move) -> None:
    """Record the snapshot and what comes after it, and keep everything else from the disks."""
    recording.reserve(transaction, move.whole)
    put_in_motion(transaction, move.disks, move.instance)
    transaction.jobs.add(move.job)


def put_in_motion(
    transaction: Transaction, disks: Sequence[Disk], instance: Instance | None
) -> None:
    """Let nothing be done with the disks, nor with their instance, until they have moved."""
    for disk in disks:
        columns: dict[str, Any] = {"state": DiskState.PENDING}
        if disk.instance_id is not None:
            columns["attachment"] = Attachment.ATTACHING
        transaction.disks.change(disk.id, **columns)
    if instance is not None:
        transaction.instances.change(instance.id, state=InstanceState.PENDING.label)


def settled(disk: Disk) -> dict[str, Any]:
    """The columns of a disk that is not in motion any more."""
    if disk.instance_id is None:
        return {"state": DiskState.AVAILABLE, "attachment": Attachment.DETACHED}
    return {"state": DiskState.IN_USE, "attachment": Attachment.ATTACHED}


def give_back(transaction: Transaction, job: Job) -> None:
    """The move is not done: disks and instance are as they were."""
    given = job.given(MoveDisks)
    for disk_id in given.disks:
        disk = transaction.disks.by_id(disk_id)
        if disk is not None and disk.host == given.source and disk.state is DiskState.PENDING:
            transaction.disks.change(disk_id, **settled(disk))
    instance = transaction.instances.by_id(given.instance) if given.instance else None
    if instance is None or instance.host != given.source:
        return
    if instance.state is InstanceState.PENDING:
        # One that is to start elsewhere ran, and may do so yet.
        before = InstanceState.RUNNING if given.start else InstanceState.STOPPED
        transaction.instances.change(instance.id, state=before.label)


def is_of(transaction: Transaction, disk_id: str, host: str) -> bool:
    """Whether the disk is that host's, or about to be: it sees to its layers before that."""
    disk = transaction.disks.by_id(disk_id)
    if disk is None or disk.host in ("", host):
        return True
    jobs = transaction.jobs.of_server(host)
    given = [job.arguments for job in jobs if isinstance(job.arguments, MoveDisks)]
    return any(disk_id in one.disks for one in given)


def freeze_and_move(
    backend: Backend, move: Move, answer: Callable[[Transaction], Answer]
) -> Answer:
    """Fix what is to be moved, and let it be stored; on a failure all is as it was.

    Returns what `answer` makes in the transaction that confirms. Raises
    OperationFailureException.
    """

    def forget(transaction: Transaction) -> None:
        recording.take_back(transaction, move.whole)
        transaction.operations.remove_of_job(move.job.id)
        transaction.jobs.remove_all(move.job.id)
        give_back(transaction, move.job)

    failure = f"The {freezing.source_of(move.whole)} could not be frozen, so nothing was moved"
    with backend.under_way.noted(move.whole.id):
        with attempt(backend, failure, forget):
            frozen = freezing.freeze(backend, move.whole)
        with backend.catalog.write() as transaction:
            recording.confirm(transaction, move.whole, frozen)
            return answer(transaction)
