"""Keeps that an automatic snapshot was not taken, and why."""

from __future__ import annotations

from mooring.catalog.transaction import Transaction
from mooring.model.automatic.health import AutoFailure, piece_of
from mooring.model.automatic.rules import AutoRun, AutoSource
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.taking import recording


def record(transaction: Transaction, run: AutoRun, moment_ms: int, reason: str) -> None:
    """Keep that the snapshot which was due, or tried, at that moment failed."""
    transaction.auto_failures.record(
        AutoFailure(
            resource_id=run.resource_id,
            source=run.source,
            piece_ms=piece_of(run, moment_ms),
            first_ms=moment_ms,
            last_ms=moment_ms,
            attempts=1,
            reason=reason,
        )
    )


def take_back(transaction: Transaction, whole: Snapshot, source: str, reason: str) -> None:
    """Forget one that was not frozen, with its jobs, and keep why."""
    run = transaction.auto_runs.find(whole.resource_id, AutoSource(source))
    if run is not None:
        record(transaction, run, whole.created_ms, reason)
    recording.take_back(transaction, whole)
    transaction.auto_runs.stir()
