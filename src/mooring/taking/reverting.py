"""Reverting disks: what is recorded, and the disk that holds a snapshot at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog

from mooring.backend.backend import Backend
from mooring.backend.sources import source_of
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Source
from mooring.model.errors import DiskBusyError, EngineError, LayerDamagedError, MooringError
from mooring.model.extents import GIB
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.disk import MAX_ANCESTORS, Disk
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import RevertDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.snapshot_jobs import filling
from mooring.model.sizes import size_in_bytes
from mooring.taking import recording
from mooring.taking.attempt import attempt, given_up
from mooring.taking.verdict import Frozen

LEAVING_SECONDS = 2.0
LEAVING_PAUSE = 0.02
"""How long the client behind a block device may take to be gone, and how often to look."""

log = structlog.get_logger("mooring.service")

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Revert:
    """`disk` is to hold `snapshot`; what it holds is `before`, a snapshot if it is `kept`.

    `job` sees to what the disk needs until that is stored; held until the disk is reverted.
    """

    disk: Disk
    snapshot: DiskSnapshot
    before: DiskSnapshot
    kept: bool
    job: Job


def planned(
    backend: Backend, disk: Disk, snapshot: DiskSnapshot, before: DiskSnapshot, *, kept: bool
) -> Revert:
    """A revert as a value."""
    left = backend.engine(disk).filling(disk.id)
    arguments = RevertDisk(
        disk=disk.id,
        snapshot=snapshot.id,
        point=before.id,
        kept=kept,
        former=(disk.origin_id or "") if left is not None and not left.forked else "",
    )
    job_id = backend.ids.new_id()
    job = Job(
        id=job_id,
        key=f"revert {job_id}",
        region=disk.region,
        zone=disk.zone,
        created_ms=before.created_ms,
        arguments=arguments,
        not_before_ms=HELD_MS,
    )
    return Revert(disk, snapshot, before, kept, job)


def reserve(transaction: Transaction, revert: Revert) -> None:
    """Record what is to be done, and the snapshot that is to be kept."""
    if revert.kept:
        recording.reserve(transaction, revert.before)
    transaction.jobs.add(revert.job)


def revert_or_take_back(
    backend: Backend, revert: Revert, answer: Callable[[Transaction], Answer]
) -> Answer:
    """Revert the disk as was reserved; on a failure it holds what it held.

    Returns what `answer` makes in the transaction that confirms. Raises
    OperationFailureException.
    """
    disk = revert.disk

    def forget(transaction: Transaction) -> None:
        try:
            settle(backend, transaction, revert.job)
        except EngineError:
            take_back(transaction, revert.job)

    with backend.under_way.noted(revert.job.id, revert.before.id):
        with attempt(backend, f"The disk {disk.name} could not be reverted", forget):
            backend.server(disk.region).ensure()
            _revert(backend, revert, source_of(backend, disk.region, revert.snapshot.id))
        with backend.catalog.write() as transaction:
            confirm(backend, transaction, revert.job)
            return answer(transaction)


def settle(backend: Backend, transaction: Transaction, job: Job) -> bool:
    """Confirm a revert if it was done, otherwise forget it; tells which. Raises EngineError."""
    given = job.given(RevertDisk)
    past = backend.engines[job.zone].past(given.disk)
    if past is None or given.point not in (past.point, *past.points):
        take_back(transaction, job)
        return False
    confirm(backend, transaction, job)
    return True


def confirm(backend: Backend, transaction: Transaction, job: Job) -> None:
    """Record that a disk was reverted: what it held can be stored, and the disk filled.

    A disk that was reverted again since, by another caller perhaps who has confirmed it already, is
    filled from what it was reverted to last. Raises OperationFailureException if it was given up.
    """
    given = job.given(RevertDisk)
    if given.kept and (before := transaction.snapshots.by_id(given.point)) is not None:
        # Nobody could write to it any more.
        kinds = {given.disk: Consistency.AT_REST}
        recording.confirm(transaction, before, Frozen(0.0, None, kinds))
    disk = transaction.disks.by_id(given.disk)
    # Its row is locked: whoever reverts it from now on confirms that after this.
    if disk is not None and not _superseded(backend, job):
        transaction.disks.set_origin(disk.id, given.snapshot, ancestors_of(transaction, disk))
        transaction.disks.change(disk.id, size_gb=_size(backend, disk))
        now = backend.clock.now_ms()
        transaction.jobs.add(filling(disk, given.snapshot, backend.ids.new_id(), now))
    if not transaction.jobs.confirm(job.id):
        raise given_up("The revert")


def ancestors_of(transaction: Transaction, disk: Disk) -> Sequence[str]:
    """What the disk descends from, when it is about to have another origin."""
    former = transaction.snapshots.by_id(disk.origin_id) if disk.origin_id else None
    known = {disk.id, *disk.ancestors}
    if former is None or former.id in known or former.disk_id in known:
        return disk.ancestors
    return (former.id, *disk.ancestors)[:MAX_ANCESTORS]


def _size(backend: Backend, disk: Disk) -> int:
    """How many GB the disk has, which was just reverted: of one that has grown it may be more."""
    left = backend.engines[disk.zone].filling(disk.id)
    reached = 0 if left is None or left.forked else -(-left.total // GIB)
    return max(disk.size_gb, reached)


def _superseded(backend: Backend, job: Job) -> bool:
    """Whether the disk was reverted again since."""
    given = job.given(RevertDisk)
    try:
        past = backend.engines[job.zone].past(given.disk)
    except EngineError:
        return False  # it was deleted meanwhile
    return past is not None and past.point != given.point


def take_back(transaction: Transaction, job: Job) -> None:
    """Forget a revert that was not done, and the snapshot of what the disk holds.

    One that was left to others is theirs to settle.
    """
    if transaction.jobs.by_id(job.id) is None:
        return
    given = job.given(RevertDisk)
    if given.kept and (before := transaction.snapshots.by_id(given.point)) is not None:
        recording.take_back(transaction, before)
    transaction.jobs.remove_all(job.id)


def leave(backend: Backend, transaction: Transaction, job: Job) -> str:
    """Leave a revert that is not confirmed to whoever takes the disk over from a lost host.

    By another job: should that host only stand still, its request confirms nothing any more, nor
    takes anything back. Returns the id of that job.
    """
    transaction.jobs.remove_all(job.id)
    left = replace(job, id=backend.ids.new_id(), generation=0)
    transaction.jobs.add(left)
    return left.id


def left_over(transaction: Transaction, host: str) -> list[Job]:
    """The reverts of a host, that is lost, which are neither confirmed nor taken back."""
    jobs = transaction.jobs.of_server(host)
    return [one for one in jobs if one.kind is JobKind.REVERT_DISK and one.is_held]


def settle_left(backend: Backend, disk_id: str, host: str) -> None:
    """Confirm what a lost host has reverted of a disk, or forget it. Raises EngineError."""
    with backend.catalog.read() as transaction:
        found = left_over(transaction, host)
    for job in found:
        if job.arguments.at == disk_id:
            with backend.catalog.write() as transaction:
                settle(backend, transaction, job)


def _revert(backend: Backend, revert: Revert, source: Source) -> None:
    engine, disk = backend.engine(revert.disk), revert.disk
    with _device_away(backend, disk) as leaving:
        while True:
            try:
                engine.revert(
                    disk.id,
                    source,
                    revert.before.id,
                    # A growth may not be recorded yet.
                    size=max(size_in_bytes(disk.size_gb), source.size),
                    keep=revert.kept,
                )
            except DiskBusyError as error:
                if backend.clock.monotonic() > leaving:
                    who = engine.clients(disk.id) or "a client"
                    raise DiskBusyError(f"{who} is connected to it") from error
                backend.clock.sleep(LEAVING_PAUSE)
            except LayerDamagedError as error:
                raise LayerDamagedError(
                    f"{error}. What it holds cannot be kept: give it up with --discard"
                ) from error
            else:
                return


@contextlib.contextmanager
def _device_away(backend: Backend, disk: Disk) -> Iterator[float]:
    """Take the disk's block device away meanwhile; tells until when its client may be leaving.

    Raises DiskBusyError, HostError.
    """
    if backend.devices.device(disk.id) is None or disk.instance_id is None:
        yield float("-inf")
        return
    backend.devices.detach(disk.id)
    try:
        yield backend.clock.monotonic() + LEAVING_SECONDS
    finally:
        uri = backend.engine(disk).uri(disk.instance_id, disk.name)
        try:
            backend.devices.attach(disk.id, uri)
        except MooringError as error:
            log.warning("a block device was not made again", disk=disk.name, why=str(error))
