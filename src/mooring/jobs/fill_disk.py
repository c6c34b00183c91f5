"""Filling a new disk from its snapshot.

CreateDiskFromSnapshot has made a disk that reads from the snapshot in the vault. Then:

    fill   copy the snapshot into the disk's base, so that the disk no longer needs the snapshot

The disk is used, snapshotted, attached and detached meanwhile, so the job has its own key. It
never fails for good, because then the disk would need the snapshot forever: while the vault is
away or damaged the job is put off, and resumes where it was. Until it is done the snapshot is not
deleted from the vault (delete_snapshot.py). It ends early if the disk is deleted, or reverted to
another snapshot. A disk that is full needs no vault: a copy of the catalog that was put back may
have its job, and the snapshot may be deleted since.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from mooring.backend.backend import Backend
from mooring.backend.sources import source_of
from mooring.catalog.transaction import Transaction
from mooring.engine.interface import Filling
from mooring.jobs.running.procedure import Procedure, Step, Work
from mooring.jobs.running.progress import Progress
from mooring.model.errors import (
    CanceledError,
    EngineError,
    MooringError,
    PostponedError,
    RevertedError,
)
from mooring.model.extents import Buffer, Extent
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import FillDisk, OfDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot_jobs import filling
from mooring.model.sizes import size_in_bytes
from mooring.observe import metrics

AGAIN_SECONDS, REVERTED_SECONDS = 15.0, 1.0
"""When a filling that failed continues, and one of a disk that was reverted just now."""

log = structlog.get_logger("mooring.jobs")


def fill_job(backend: Backend, disk: Disk, snapshot_id: str) -> Job:
    """The job that fills a disk that was made from a snapshot."""
    return filling(disk, snapshot_id, backend.ids.new_id(), backend.clock.now_ms())


def fill(work: Work) -> None:
    """Bring the snapshot into the disk."""
    disk = _wanted(work)
    try:
        work.backend.server(disk.region).ensure()
        before = work.engine.filling(disk.id)
        image = _Unneeded() if before is None else work.vault.open(work.given(FillDisk).snapshot)
        try:
            told = before.done if before else 0

            def still_wanted(_percent: int) -> None:
                _wanted(work)

            def tell(filling: Filling) -> None:
                nonlocal told
                metrics.disk_filled(max(0, filling.done - told))
                told = max(told, filling.done)
                progress.reached(filling.done)

            progress = Progress(work, image.size, still_wanted)
            work.engine.fill(disk.id, image, tell, snapshot_id=work.given(FillDisk).snapshot)
        finally:
            image.close()
    except CanceledError:
        raise
    except RevertedError as error:
        # The revert is about to be recorded; the filling from its snapshot stands behind this job.
        _wanted(work)
        raise PostponedError(str(error), REVERTED_SECONDS) from error
    except MooringError as error:
        _wanted(work)
        log.warning("filling a disk is put off", disk=disk.id, error=str(error))
        raise PostponedError(str(error), AGAIN_SECONDS) from error


class _Unneeded:
    """The image that a full disk is filled from: only its daemon may yet have to know that."""

    size = 0

    def extents(self) -> Iterator[Extent]:
        raise self._reverted()

    def read(self, offset: int, length: int) -> Buffer:
        raise self._reverted()

    def close(self) -> None:
        """There is nothing to close."""

    def _reverted(self) -> EngineError:
        return EngineError("the disk was reverted just now, and is to be filled again")


def _wanted(work: Work) -> Disk:
    """The disk. Raises CanceledError if it was deleted, or reverted to another snapshot."""
    disk, snapshot = work.disk(), work.given(FillDisk).snapshot
    if disk.origin_id != snapshot:
        left = work.engine.filling(disk.id)
        if left is None or left.snapshot_id != snapshot:
            raise CanceledError(f"the disk {disk.id} reads from {snapshot} no more")
    return disk


def resume(backend: Backend) -> None:
    """Before disks are served at the server's start: see to what those not filled read from."""
    for job in _reading(backend):
        try:
            # Also for a zone that is away: its storage daemons may run on.
            backend.server(job.region).ensure()
            if job.zone not in backend.engines:
                continue
            disk = Work(job, backend).disk()
            engine = backend.engines[disk.zone]
            if job.kind is JobKind.REVERT_DISK and engine.past(disk.id) is None:
                continue
            for snapshot in sorted(job.arguments.reads):
                source = source_of(backend, job.region, snapshot)
                # The place of the server's socket may be another than before. A revert to a larger
                # snapshot may not be recorded yet.
                size = max(size_in_bytes(disk.size_gb), source.size)
                engine.begin_clone(disk.id, size, source)
        except CanceledError:
            continue
        except MooringError as error:
            log.warning(
                "a disk cannot be read in full", disk=job.given(OfDisk).disk, error=str(error)
            )


def regions_filling(backend: Backend) -> set[str]:
    """The regions with disks that still read from snapshots."""
    return {job.region for job in _reading(backend)}


def _reading(backend: Backend) -> list[Job]:
    """The jobs of disks that still read from snapshots, in their past perhaps."""
    with backend.catalog.read() as transaction:
        kinds = (JobKind.FILL_DISK, JobKind.REVERT_DISK)
        found = [job for kind in kinds for job in transaction.jobs.of_kind(kind)]
    # Those elsewhere are another host's business.
    return [job for job in found if backend.runs(job)]


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The disk was deleted."""


FILL = Procedure(JobKind.FILL_DISK, (Step("fill", fill),), nothing_to_tell)
