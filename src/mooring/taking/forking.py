"""Forking disks: what is recorded, and the new disk that is usable at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS, Transaction
from mooring.model.errors import MooringError, OperationFailureException, ServiceError
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import ForkDisk
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.taking import freezing, recording

log = structlog.get_logger("mooring.service")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Fork:
    """The disk `made` of `disk`, as it is when `snapshot` is frozen; `kept` if that is recorded."""

    disk: Disk
    made: Disk
    snapshot: DiskSnapshot
    kept: bool

    @property
    def job(self) -> Job:
        """What lets the fork stand alone; held until there is one."""
        return Job(
            id=self.made.id,
            key=f"fork {self.made.id}",
            region=self.made.region,
            zone=self.made.zone,
            created_ms=self.made.created_ms,
            arguments=ForkDisk(
                disk=self.made.id,
                source=self.disk.id,
                point=self.snapshot.id,
                snapshot=self.snapshot.id if self.kept else "",
            ),
            not_before_ms=HELD_MS,
        )


def reserve(transaction: Transaction, fork: Fork) -> None:
    """Record the disk that is to be made, and the snapshot that is to be kept."""
    if fork.kept:
        recording.reserve(transaction, fork.snapshot)
    transaction.disks.add(fork.made)
    transaction.jobs.add(fork.job)


def fork_or_take_back(
    backend: Backend, fork: Fork, answer: Callable[[Transaction], Answer]
) -> Answer:
    """Freeze the disk and make the fork that was reserved; on a failure nothing of it is left.

    Returns what `answer` makes in the transaction that confirms. Raises
    OperationFailureException.
    """
    engine = backend.engine(fork.disk.zone)
    try:
        frozen = freezing.freeze(backend, fork.snapshot)
        engine.fork(fork.disk.id, fork.snapshot.id, fork.made.id)
    except BaseException as error:
        _take_back(backend, fork)
        if isinstance(error, ServiceError) or not isinstance(error, MooringError):
            raise
        raise OperationFailureException(
            f"The disk {fork.disk.name} could not be forked: {error}"
        ) from error
    if not fork.kept:
        # Nobody needs to read it; what cannot be released now is at the next start.
        with contextlib.suppress(MooringError):
            engine.release(fork.disk.id, fork.snapshot.id, stored=False)
    with backend.catalog.write() as transaction:
        if fork.kept:
            recording.confirm(transaction, fork.snapshot, frozen)
        transaction.disks.change(fork.made.id, state=DiskState.AVAILABLE)
        transaction.jobs.confirm(fork.made.id)
        return answer(transaction)


def forget(transaction: Transaction, made: Disk) -> None:
    """Forget a disk that was to be a fork, with its job and operations."""
    transaction.auto_runs.remove(made.id)
    transaction.disks.remove(made)
    transaction.operations.remove_of_job(made.id)
    transaction.jobs.remove_all(made.id)


def _take_back(backend: Backend, fork: Fork) -> None:
    """Leave nothing of the fork; where that fails, the next start does it."""
    engine = backend.engines[fork.disk.zone]
    with contextlib.suppress(MooringError):
        engine.delete(fork.made.id)
        engine.release(fork.disk.id, fork.snapshot.id, stored=False)
    try:
        with backend.catalog.write() as transaction:
            if fork.kept:
                recording.take_back(transaction, fork.snapshot)
            forget(transaction, fork.made)
    except CATALOG_ERRORS as error:
        log.warning("a fork was not taken back", disk=fork.made.name, why=str(error))
