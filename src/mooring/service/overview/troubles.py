"""What is wrong now, as people are told it."""

from __future__ import annotations

from typing import Any

from mooring.catalog.transaction import Transaction
from mooring.model.trouble import KnownTrouble, Severity

SHOWN = 100


def troubles_told(transaction: Transaction) -> dict[str, Any]:
    """How many there are, and the gravest and oldest of them."""
    shown = [_told(one) for one in transaction.troubles.lasting(SHOWN)]
    return {
        "count": sum(transaction.troubles.count().values()),
        # Critical ones come first, so one is among those shown if there is any.
        "critical": any(one["severity"] == Severity.CRITICAL for one in shown),
        "shown": shown,
    }


def _told(known: KnownTrouble) -> dict[str, Any]:
    one = known.trouble
    return {
        "kind": one.kind,
        "severity": one.severity,
        "region": one.region or None,
        "resource": one.resource or None,
        "server": one.server or None,
        "text": one.text,
        "since": known.since_ms / 1000,
    }
