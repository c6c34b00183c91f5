"""Health: what is wrong with disks, vaults, servers and threads."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    status = await visit.ask("status")
    disks = await visit.ask("disks")
    threads = await visit.ask("threads")
    absent = await visit.ask("absent")
    return visit.page(
        "health.html",
        "Health",
        seen=status,
        ailing=[one for one in disks["disks"] if not one["ok"]],
        disks=len(disks["disks"]),
        threads=threads,
        absent=absent["absent"],
    )
