"""Forking disks: what is recorded, and the new disks that are usable at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Engine
from mooring.model.errors import (
    OperationFailureException,
    PointNotFoundError,
)
from mooring.model.extents import GIB
from mooring.model.resources.disk import Attachment, Disk, DiskState
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import ForkDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.snapshot_jobs import filling
from mooring.model.sizes import size_in_bytes
from mooring.taking import freezing, recording
from mooring.taking.attempt import attempt, given_up
from mooring.taking.serving import serve, withdraw
from mooring.taking.unneeded import release_unneeded

Answer = TypeVar("Answer")


class Instant(Enum):
    """What becomes of the snapshot whose instant forks have."""

    PASSED = "it is frozen for the forks, and nobody keeps it"
    KEPT = "it is frozen for the forks, and kept"
    GIVEN = "it was frozen before, for itself"


@dataclass(frozen=True, slots=True)
class Fork:
    """The disks `made`, of what the members of `snapshot` are of, in the same order.

    `instance` is a new one that has them attached; None if they are attached to nothing.
    """

    snapshot: Snapshot
    made: Sequence[Disk]
    instant: Instant = Instant.PASSED
    instance: Instance | None = None

    @property
    def zone(self) -> str:
        return self.made[0].zone

    @property
    def of(self) -> str:
        """What is forked, in words."""
        return freezing.source_of(self.snapshot)

    @property
    def waited_for(self) -> str:
        """What is confirmed, or removed, with all the jobs."""
        return self.made[0].id if self.instance is None else self.instance.id

    def pairs(self) -> Iterator[tuple[DiskSnapshot, Disk]]:
        """Each point that is forked, and what is made of it."""
        return zip(self.snapshot.members, self.made, strict=True)

    def jobs(self, engine: Engine) -> Iterator[Job]:
        """What lets the forks stand alone; held until all of them are there.

        Until then the snapshots that their bases are read from are not deleted, even if the disks
        that are forked have been filled meanwhile.
        """
        for point, made in self.pairs():
            yield Job(
                id=made.id,
                key=f"fork {made.id}",
                region=made.region,
                zone=made.zone,
                created_ms=made.created_ms,
                arguments=ForkDisk(
                    disk=made.id,
                    source=point.disk_id,
                    point=point.id,
                    snapshot="" if self.instant is Instant.PASSED else point.id,
                    origin=(made.origin_id or "") if _reads(engine, point.disk_id) else "",
                ),
                not_before_ms=HELD_MS,
                group=None if self.instance is None else self.instance.id,
            )


def reserve(backend: Backend, transaction: Transaction, fork: Fork) -> None:
    """Record what is to be made, and the snapshot that is to be kept."""
    engine = backend.engine(fork.made[0])
    if fork.instant is Instant.KEPT:
        recording.reserve(transaction, fork.snapshot)
    if fork.instance is not None:
        transaction.instances.add(fork.instance)
    for made, job in zip(fork.made, fork.jobs(engine), strict=True):
        transaction.disks.add(made)
        transaction.jobs.add(job)


def fork_or_take_back(
    backend: Backend, fork: Fork, answer: Callable[[Transaction, Fork], Answer]
) -> Answer:
    """Freeze the disks, and make what was reserved; on a failure nothing of it is left.

    Returns what `answer` makes, in the transaction that confirms, of the fork as it came out.
    Raises OperationFailureException.
    """
    engine = backend.engine(fork.made[0])
    undone = False

    def undo() -> None:
        nonlocal undone
        _undo(backend, engine, fork)
        undone = True

    def forget_all(transaction: Transaction) -> None:
        if fork.instant is Instant.KEPT:
            recording.take_back(transaction, fork.snapshot)
        if not undone:
            # What is left has layers in common with the other disks: it is taken back as one that
            # nobody confirmed (unconfirmed.py), when that is possible.
            return
        held = [transaction.jobs.by_id(made.id) for made in fork.made]
        forget(transaction, [job for job in held if job is not None])

    failure = f"The {fork.of} could not be forked"
    with backend.under_way.noted(fork.waited_for, fork.snapshot.id):
        with attempt(backend, failure, forget_all, undo):
            frozen = None
            if fork.instant is not Instant.GIVEN:
                frozen = freezing.freeze(backend, fork.snapshot)
            fork = replace(fork, made=[_make(engine, fork, *pair) for pair in fork.pairs()])
            # Once all are there: a block device that somebody looks at is not taken away at once.
            if fork.instance is not None:
                for made in fork.made:
                    serve(backend, fork.instance.id, fork.instance, made)
        with backend.catalog.write() as transaction:
            if fork.instant is Instant.KEPT:
                recording.confirm(transaction, fork.snapshot, frozen)
            _confirm(backend, transaction, engine, fork)
            return answer(transaction, fork)


def forget(transaction: Transaction, jobs: Sequence[Job]) -> None:
    """Forget forks that were to be made together, with their instance, jobs and operations."""
    instances = {}
    for job in jobs:
        made = transaction.disks.by_id(job.given(ForkDisk).disk)
        if made is not None:
            if made.instance_id is not None:
                instances[made.instance_id] = transaction.instances.by_id(made.instance_id)
            transaction.auto_runs.remove(made.id)
            transaction.disks.remove(made)
        transaction.operations.remove_of_job(job.id)
        transaction.jobs.remove_all(job.waited_for)
    for instance in instances.values():
        if instance is not None:
            transaction.auto_runs.remove(instance.id)
            transaction.instances.remove(instance)


def keep(
    backend: Backend, transaction: Transaction, jobs: Sequence[Job], there: Collection[str]
) -> None:
    """Record forks that were made together and confirmed before, which the catalog does not know.

    `there` are the ids of those disks that are there; the others were deleted since.
    """
    for job in jobs:
        disk = transaction.disks.by_id(job.given(ForkDisk).disk)
        if disk is None or disk.id not in there:
            if disk is not None:
                transaction.auto_runs.remove(disk.id)
                transaction.disks.remove(disk)
            transaction.jobs.remove_all(job.id)
            continue
        if disk.state is DiskState.PENDING:
            transaction.disks.change(disk.id, **_ready(disk.instance_id is not None))
        left = backend.engines[disk.zone].filling(disk.id)
        if left is not None and left.snapshot_id is not None:
            job_id = backend.ids.new_id()
            transaction.jobs.add(filling(disk, left.snapshot_id, job_id, disk.created_ms))
    instance = transaction.instances.by_id(jobs[0].waited_for)
    if instance is not None and instance.state is InstanceState.PENDING:
        transaction.instances.change(instance.id, state=InstanceState.RUNNING.label)
    transaction.jobs.confirm(jobs[0].waited_for)


def forget_together(transaction: Transaction, job: Job) -> Sequence[str]:
    """Forks that were not confirmed, with their instance: nobody was told of them.

    `job` is that of one; returns the ids of their disks, whose files may be there.
    """
    held = transaction.jobs.of_kind(JobKind.FORK_DISK)
    together = [one for one in held if one.waited_for == job.waited_for]
    forget(transaction, together)
    return [one.given(ForkDisk).disk for one in together]


def _make(engine: Engine, fork: Fork, point: DiskSnapshot, made: Disk) -> Disk:
    """Make one disk; it may be larger than the catalog knew."""
    try:
        size = engine.fork(point.disk_id, point.id, made.id, size_in_bytes(made.size_gb))
    except PointNotFoundError as error:
        if fork.instant is Instant.GIVEN:
            raise
        raise _reverted(point) from error
    left = engine.filling(made.id)
    if left is not None and not left.forked and left.snapshot_id != made.origin_id:
        # The catalog would have it filled from another snapshot, and let that one be deleted.
        raise _reverted(point)
    return replace(made, size_gb=size // GIB)


def _reads(engine: Engine, disk_id: str) -> bool:
    """Whether the disk still reads from the snapshot that it is made from."""
    left = engine.filling(disk_id)
    return left is not None and not left.forked


def _reverted(point: DiskSnapshot) -> OperationFailureException:
    return OperationFailureException(
        f"The disk {point.disk_name} was reverted just now, so it was not forked. Please try again."
    )


def _confirm(backend: Backend, transaction: Transaction, engine: Engine, fork: Fork) -> None:
    if not transaction.jobs.confirm(fork.waited_for):
        raise given_up(f"The fork of the {fork.of}")
    attached = fork.instance is not None
    if fork.instance is not None:
        transaction.instances.change(fork.instance.id, state=InstanceState.RUNNING.label)
    for made in fork.made:
        transaction.disks.change(made.id, size_gb=made.size_gb, **_ready(attached))
        # What it has not got from a snapshot yet, it gets as the disk does that it is made of.
        if made.origin_id and _reads(engine, made.id):
            job_id = backend.ids.new_id()
            transaction.jobs.add(filling(made, made.origin_id, job_id, made.created_ms))


def _ready(attached: bool) -> dict[str, DiskState | Attachment]:
    """The columns of a fork that can be used."""
    if attached:
        return {"state": DiskState.IN_USE, "attachment": Attachment.ATTACHED}
    return {"state": DiskState.AVAILABLE, "attachment": Attachment.DETACHED}


def _undo(backend: Backend, engine: Engine, fork: Fork) -> None:
    try:
        if fork.instance is not None:
            withdraw(backend, [made.id for made in fork.made])
            engine.stop(fork.instance.id)
        for made in fork.made:
            engine.delete(made.id)
    finally:
        if fork.instant is not Instant.GIVEN:
            _release(engine, fork)


def _release(engine: Engine, fork: Fork) -> None:
    for point in fork.snapshot.members:
        release_unneeded(engine, point.disk_id, point.id)
