"""Questions about automatic snapshots: whether those that are wanted exist."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer


def automatic(backend: Backend, context: Context, params: Params) -> Answer:
    """The state of the automatic snapshots of each disk and instance in the region."""
    del params
    with backend.catalog.read() as transaction:
        return {"automatic": health(backend, transaction, region=context.region)}


def health(
    backend: Backend,
    transaction: Transaction,
    *,
    region: str | None = None,
    of: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """What is wanted, exists and failed, of all resources or of these only; twice for what has
    both the add-on and rhythms."""
    now = backend.clock.now_ms()
    return [
        {
            "kind": one.kind.lower(),
            "name": one.name,
            "region": one.region,
            "ok": one.is_well(now),
            "text": one.sentence(now),
            "newestAt": None if one.newest_ms is None else one.newest_ms / 1000,
            "dueAt": one.due_ms / 1000,
            "problem": None if one.failure is None else one.failure.reason,
        }
        for one in transaction.auto_failures.health(region, of)
    ]
