"""Names for snapshots that something else takes."""

from __future__ import annotations

from datetime import UTC, datetime

from mooring.catalog.transaction import Transaction
from mooring.model.names import MAX_NAME_LENGTH


def free_name(transaction: Transaction, region: str, of: str, why: str, now_ms: int) -> str:
    """A name that nothing has, made of that of a disk or an instance, why, and the time."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    end = f"-{why}-{moment:%Y%m%d-%H%M%S}"
    name = of[: MAX_NAME_LENGTH - len(end) - 4].rstrip("._-") + end
    number, found = 1, name
    while transaction.names.find(region, found) is not None:
        number += 1
        found = f"{name}-{number}"
    return found
