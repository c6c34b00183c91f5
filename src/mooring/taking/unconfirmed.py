"""Requests that were recorded and not confirmed: confirmed after all, or taken back.

Nobody does them any more: the server was killed in their midst, or the catalog was away when they
were to be confirmed, or a fork failed and could not be undone. Their jobs are held, and those after
them in line wait.

1. Reverts: if the engine has reverted the disk, that and the snapshot of what it held are
   confirmed; otherwise both are taken back. A revert is never done now: the disk may have been
   written to since.
2. Snapshots: if the engine has the frozen point, or those of all parts of an instance's, they hold
   all that was written before the request, so it is confirmed; otherwise, or if users of a disk
   had to be at rest, the request is taken back. One of a copy of the catalog that was put back may
   be stored since, and its point be gone: that is confirmed, too.
3. Forks are taken back, but those that were confirmed before, which the catalog lost: they are
   recorded as they are found (backend/made_before.py).

Their clients had no answer, or an error, and ask again or check.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog

from mooring.backend.backend import Backend
from mooring.backend.made_before import made_before
from mooring.model.errors import EngineError, MooringError, VaultError
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ForkDisk, RevertDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.taking import forking, freezing, recording, reverting
from mooring.taking.freezing import Left
from mooring.taking.serving import serve_what_can_be, withdraw
from mooring.taking.unneeded import release_unneeded
from mooring.taking.verdict import NOT_RECORDED, refusal

KINDS = (JobKind.REVERT_DISK, JobKind.UPLOAD_SNAPSHOT, JobKind.FORK_DISK)
"""What is held until its request is confirmed."""

log = structlog.get_logger("mooring.jobs")


def settle(backend: Backend, only: Collection[str] | None = None) -> None:
    """Settle all of this host's, or only those that are waited for by these ids."""
    for job in held(backend, JobKind.REVERT_DISK):
        if only is None or job.id in only:
            _settle_revert(backend, job)
    with backend.catalog.read() as transaction:
        pending = transaction.snapshots.in_state(SnapshotState.PENDING)
    for whole_id in dict.fromkeys(one.part_of or one.id for one in pending if not one.frozen):
        if only is not None and whole_id not in only:
            continue
        with backend.catalog.read() as transaction:
            whole = transaction.snapshot(whole_id)
        # An automatic one is not the request of a client that waited: its job continues.
        if whole is not None and whole.auto is None:
            _confirm(backend, whole)
    forks = held(backend, JobKind.FORK_DISK)
    for waited_for in dict.fromkeys(job.waited_for for job in forks):
        if only is None or waited_for in only:
            together = [job for job in forks if job.waited_for == waited_for]
            _take_back_fork(backend, waited_for, together)


def held(backend: Backend, *kinds: JobKind) -> list[Job]:
    """Jobs of requests that were not confirmed, of this host's disks in zones that there are."""
    with backend.catalog.read() as transaction:
        jobs = [one for one in transaction.jobs.of_kinds(kinds) if one.is_held]
    return [job for job in jobs if backend.runs(job) and job.zone in backend.engines]


def points(backend: Backend, disk_id: str, zone: str) -> list[str]:
    """The frozen points of a disk; none if they cannot be read."""
    try:
        return list(backend.engines[zone].points(disk_id))
    except EngineError as error:
        log.warning("a disk's points could not be read", disk=disk_id, error=str(error))
        return []


def _settle_revert(backend: Backend, job: Job) -> None:
    disk = job.given(RevertDisk).disk
    try:
        with backend.catalog.write() as transaction:
            done = reverting.settle(backend, transaction, job)
    except EngineError as error:
        log.warning("what became of a revert is not known", disk=disk, error=str(error))
        with backend.catalog.write() as transaction:
            # What the job reads is kept in the vault for as long as it is there. Whether what the
            # disk held was stored is asked next.
            if transaction.disks.by_id(disk) is None and _is_gone(backend, disk, job.zone):
                transaction.jobs.remove_all(job.id)
    else:
        log.info("settled a revert that was not answered", disk=disk, done=done)


def _is_gone(backend: Backend, disk_id: str, zone: str) -> bool:
    """Whether nothing lies here of a disk."""
    try:
        return disk_id not in backend.engines[zone].disks()
    except EngineError:
        return False


def _confirm(backend: Backend, whole: Snapshot) -> None:
    """Confirm a snapshot that was not, or take it back: all parts together, or none."""
    if any(one.disk_zone not in backend.engines for one in whole.members):
        return  # nobody can say; the next start with the zone in the settings will
    with backend.catalog.read() as transaction:
        jobs = [transaction.jobs.by_id(one.id) for one in whole.members]
    if any(job is not None and not backend.runs(job) for job in jobs):
        return  # the host that has the disks will say, or is just freezing them
    try:
        stored = _is_stored(backend, whole, jobs)
    except VaultError as error:
        log.warning("whether a snapshot was stored is not known", id=whole.id, error=str(error))
        return
    left = freezing.left(whole, lambda one: points(backend, one.disk_id, one.disk_zone))
    with backend.catalog.write() as transaction:
        now = transaction.snapshot(whole.id)
        if now is None or any(one.frozen or not one.is_pending for one in now.members):
            return  # another host has just frozen it, and perhaps stored it by now
        found = [transaction.disks.by_id(one.disk_id) for one in whole.members]
        disks = [disk for disk in found if disk is not None]
        counts = left is Left.ALL and refusal(disks, {}, NOT_RECORDED) is None
        confirmed = stored or counts
        if confirmed:
            recording.confirm(transaction, whole, None)
            log.info("confirmed a snapshot that was being taken", snapshot=whole.id)
        else:
            recording.take_back(transaction, whole)
            log.info("took back a snapshot that was not frozen", snapshot=whole.id)
    if not confirmed and left is not Left.NOTHING:
        for one in whole.members:
            release_unneeded(backend.engines[one.disk_zone], one.disk_id, one.id)


def _is_stored(backend: Backend, whole: Snapshot, jobs: Sequence[Job | None]) -> bool:
    """Whether a snapshot is in the vault that nobody can have stored by the catalog.

    Only jobs of a copy that was put back count as begun while they are held. Raises VaultError.
    """
    if not all(job is not None and job.generation for job in jobs):
        return False
    if whole.region not in backend.vaults:
        return False
    vault = backend.vaults[whole.region]
    vault.check()
    return all(vault.has(one.id) for one in whole.members)


def _take_back_fork(backend: Backend, waited_for: str, together: Sequence[Job]) -> None:
    """Forget forks that were made together, unless they were confirmed before."""
    with backend.catalog.read() as transaction:
        made = transaction.disks.among(job.given(ForkDisk).disk for job in together)
    try:
        engine = backend.engines[together[0].zone]
        if found := made_before(engine, [job.given(ForkDisk).disk for job in together]):
            _keep_fork(backend, together, [one for one in made if one.id in found])
            return
        # They may be served already.
        withdraw(backend, [one.id for one in made])
        for one in made:
            if one.instance_id is not None:
                backend.engines[one.zone].stop(one.instance_id)
        for job in together:
            backend.engines[job.zone].delete(job.given(ForkDisk).disk)
    except MooringError as error:
        log.warning("what a fork left could not be removed", fork=waited_for, error=str(error))
        return
    with backend.catalog.write() as transaction:
        forking.forget(transaction, together)
    for job in together:
        given = job.given(ForkDisk)
        if given.point and not given.snapshot:
            release_unneeded(backend.engines[job.zone], given.source, given.point)
    log.info("took back a fork that was being made", fork=waited_for)


def _keep_fork(backend: Backend, together: Sequence[Job], there: Sequence[Disk]) -> None:
    """Record forks that were confirmed before, those that are there."""
    with backend.catalog.read() as transaction:
        instance = transaction.instances.by_id(together[0].waited_for)
    if instance is not None and instance.state is InstanceState.PENDING:
        serve_what_can_be(backend, instance, [d for d in there if d.instance_id == instance.id])
    with backend.catalog.write() as transaction:
        forking.keep(backend, transaction, together, {one.id for one in there})
    log.info("kept a fork that was made before", fork=together[0].waited_for)
