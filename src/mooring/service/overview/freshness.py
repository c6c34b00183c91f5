"""Whether the automatic snapshots that are wanted exist: the latest of all first."""

from __future__ import annotations

from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.automatic.health import AutoHealth, every

ALL = 1000
"""Up to so many rhythms and add-ons all are looked at; of more those due now or failed."""

Told = dict[str, Any]


def automatic_told(backend: Backend, transaction: Transaction, shown: int) -> Told:
    """How many are wanted and late, and some of them, those that are late first."""
    now = backend.clock.now_ms()
    runs, failures = transaction.auto_runs, transaction.auto_failures
    some: set[str] | None = None
    if runs.are_more_than(ALL):
        some = {one.resource_id for one in runs.due(now, limit=ALL)} | set(failures.bearers(ALL))
    found = failures.health(of=some)
    found.sort(key=lambda one: (one.is_well(now), one.newest_ms or 0, one.region, one.name))
    return {
        "wanted": len(found) if some is None else None,
        "late": sum(not one.is_well(now) for one in found),
        "shown": [told(one, now) for one in found[:shown]],
    }


def told(one: AutoHealth, now_ms: int) -> Told:
    """One resource and source, for people and programs; times are seconds."""
    return {
        "kind": one.kind.lower(),
        "name": one.name,
        "region": one.region,
        "ok": one.is_well(now_ms),
        "wanted": every(one.period_ms),
        "everySeconds": one.period_ms / 1000,
        "newestAt": None if one.newest_ms is None else one.newest_ms / 1000,
        "dueAt": one.due_ms / 1000,
        "text": one.sentence(now_ms),
        "problem": None if one.failure is None else one.failure.reason,
    }
