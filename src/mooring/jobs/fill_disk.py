"""Filling a new disk from its snapshot.

CreateDiskFromSnapshot has made a disk that reads from the snapshot in the vault. Then:

    fill   copy the snapshot into the disk's base, so that the disk no longer needs the snapshot

The disk is used, snapshotted, attached and detached meanwhile, so the job has its own key. It
never fails for good, because then the disk would need the snapshot forever: while the vault is
away or damaged the job is put off, and resumes where it was. Until it is done the snapshot is not
deleted from the vault (delete_snapshot.py). It ends early if the disk is deleted.
"""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import Transaction
from mooring.engine.interface import Filling, Source
from mooring.jobs.running.procedure import Procedure, Step, Work
from mooring.jobs.running.progress import Progress
from mooring.model.errors import CanceledError, MooringError, PostponedError
from mooring.model.resources.disk import Disk
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import FillDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot_jobs import filling
from mooring.model.sizes import size_in_bytes
from mooring.observe import metrics

AGAIN_SECONDS = 15.0
"""When a filling that failed continues."""

log = structlog.get_logger("mooring.jobs")


def fill_job(backend: Backend, disk: Disk, snapshot_id: str) -> Job:
    """The job that fills a disk that was made from a snapshot."""
    return filling(disk, snapshot_id, backend.ids.new_id(), backend.clock.now_ms())


def source_of(backend: Backend, region: str, snapshot_id: str) -> Source:
    """A completed snapshot as the source of a disk. Raises VaultError."""
    vault = backend.vaults[region]
    return Source(
        snapshot_id=snapshot_id,
        size=vault.root(snapshot_id).info.size,
        uri=backend.server(region).uri(snapshot_id),
        open=lambda: vault.open(snapshot_id),
    )


def fill(work: Work) -> None:
    """Bring the snapshot into the disk."""
    disk = work.disk()
    try:
        work.backend.server(disk.region).ensure()
        image = work.vault.open(work.given(FillDisk).snapshot)
        try:
            before = work.engine.filling(disk.id)
            told = before.done if before else 0

            def still_wanted(_percent: int) -> None:
                work.disk()

            def tell(filling: Filling) -> None:
                nonlocal told
                metrics.disk_filled(max(0, filling.done - told))
                told = max(told, filling.done)
                progress.reached(filling.done)

            progress = Progress(work.backend.clock, image.size, still_wanted)
            work.engine.fill(disk.id, image, tell)
        finally:
            image.close()
    except CanceledError:
        raise
    except MooringError as error:
        work.disk()
        log.warning("filling a disk is put off", disk=disk.id, error=str(error))
        raise PostponedError(str(error), AGAIN_SECONDS) from error


def resume(backend: Backend) -> None:
    """Before disks are served at the server's start: see to what those not filled read from."""
    with backend.catalog.read() as transaction:
        jobs = transaction.jobs.of_kind(JobKind.FILL_DISK)
    for job in jobs:
        try:
            backend.server(job.region).ensure()
            disk = Work(job, backend).disk()
            source = source_of(backend, job.region, job.given(FillDisk).snapshot)
            # The place of the server's socket may be another than before.
            size = size_in_bytes(disk.size_gb)
            backend.engines[disk.zone].begin_clone(disk.id, size, source)
        except CanceledError:
            continue
        except MooringError as error:
            log.warning(
                "a disk cannot be read in full", disk=job.given(FillDisk).disk, error=str(error)
            )


def regions_filling(backend: Backend) -> set[str]:
    """The regions with disks that still read from snapshots."""
    with backend.catalog.read() as transaction:
        return {job.region for job in transaction.jobs.of_kind(JobKind.FILL_DISK)}


def nothing_to_tell(_transaction: Transaction, _job: Job) -> None:
    """The disk was deleted."""


FILL = Procedure(JobKind.FILL_DISK, (Step("fill", fill),), nothing_to_tell)
