"""Health: what is wrong with disks, vaults, servers and threads, and what will be."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit
from mooring.model.trouble import TroubleKind

TOLD = frozenset(
    {
        TroubleKind.VAULT_DAMAGED,
        TroubleKind.SNAPSHOTS_LOST,
        TroubleKind.REPLICA_LATE,
        TroubleKind.CERTIFICATE_ENDS,
        TroubleKind.KEY_ENDS,
    }
)
"""Troubles that are shown as people are told them; the page looks for the others itself, now."""


async def show(visit: Visit) -> Response:
    """The page."""
    status = await visit.ask("status")
    disks = await visit.ask("disks")
    threads = await visit.ask("threads")
    absent = await visit.ask("absent")
    ends = await visit.ask("ends")
    return visit.page(
        "health.html",
        "Health",
        seen=status,
        troubles=[one for one in status["troubles"]["shown"] if one["kind"] in TOLD],
        ailing=[one for one in disks["disks"] if not one["ok"]],
        disks=len(disks["disks"]),
        threads=threads,
        absent=absent["absent"],
        ends=ends["ends"],
    )
