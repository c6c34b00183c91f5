"""The outcomes of automatic snapshots: failures are kept, and reported in metrics."""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.automatic import rules
from mooring.model.automatic.health import failures_end, piece_of
from mooring.model.automatic.rules import AutoRun
from mooring.model.operation import ResourceType
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import OfSnapshot
from mooring.observe import metrics
from mooring.taking.not_taken import record

log = structlog.get_logger("mooring.jobs")


MOST_TOLD = 10_000
"""Automatic snapshots to come of which each has its metrics."""

MOST_LATE = 1000
"""Of more than that: so many of those that are due, the oldest first, and of those that failed."""


def not_taken(transaction: Transaction, whole: Snapshot, job: Job) -> None:
    """It could not be frozen."""
    _failed(transaction, whole, "an automatic snapshot was not taken", job.error_details)


def not_stored(transaction: Transaction, job: Job) -> None:
    """What the job should have stored could not be, if it is automatic or part of one that is."""
    one = transaction.snapshots.by_id(job.given(OfSnapshot).snapshot)
    whole = None if one is None else transaction.snapshot(one.part_of or one.id)
    if whole is None or whole.auto is None:
        return
    run = _failed(transaction, whole, "an automatic snapshot was not stored", job.error_details)
    if run is not None and run.next_ms < (again := rules.again(run, job.created_ms)).next_ms:
        # A quick rhythm that fails is slowed down, as after a freeze that failed.
        transaction.auto_runs.move(run.resource_id, run.source, again.next_ms, again.within_ms)
    transaction.auto_runs.stir()


def stored(transaction: Transaction, run: AutoRun, taken: Snapshot, now_ms: int) -> None:
    """Its piece of time has a snapshot now; forget what is too old to be told."""
    transaction.auto_runs.stir()
    piece = piece_of(run, taken.created_ms)
    transaction.auto_failures.forget(run.resource_id, run.source, piece)
    transaction.auto_failures.forget_before(run.resource_id, run.source, failures_end(run, now_ms))


def tell(backend: Backend) -> None:
    """Set the metrics of when automatic snapshots were stored last, and are due.

    Of very many only of those that are due or failed: nobody has to look at the others.
    """
    with backend.catalog.read() as transaction:
        runs, failures = transaction.auto_runs, transaction.auto_failures
        told: set[str] | None = None
        if runs.are_more_than(MOST_TOLD):
            due_now = runs.due(backend.clock.now_ms(), limit=MOST_LATE)
            told = {one.resource_id for one in due_now} | set(failures.bearers(MOST_LATE))
        found = failures.health(of=told)
    newest: dict[tuple[bool, str, str], float] = {}
    due: dict[tuple[bool, str, str], float] = {}
    failures_since: dict[tuple[bool, str, str], float] = {}
    for one in found:
        key = (one.kind is ResourceType.DISK, one.region, one.name)
        due[key] = min(due.get(key, one.due_ms / 1000), one.due_ms / 1000)
        failed = 0 if one.failing_ms is None or one.failure is None else one.failure.attempts
        failures_since[key] = max(failures_since.get(key, 0), failed)
        if one.newest_ms is not None:
            newest[key] = max(newest.get(key, 0), one.newest_ms / 1000)
    metrics.auto_snapshots(newest, due, failures_since)


def _failed(
    transaction: Transaction, whole: Snapshot, what: str, reason: str | None
) -> AutoRun | None:
    """Tell the log, and keep it; returns the run that it is of, if there still is one."""
    kind = "instance" if isinstance(whole, InstanceSnapshot) else "disk"
    of = whole.instance_name if isinstance(whole, InstanceSnapshot) else whole.disk_name
    log.warning(what, region=whole.region, snapshot=whole.name, reason=reason, **{kind: of})
    runs = transaction.auto_runs.of(whole.resource_id)
    run = next((one for one in runs if one.source is whole.auto), None)
    if run is not None:
        record(transaction, run, whole.created_ms, reason or "the reason is not known")
    return run
