"""Overview: is all protected, what runs, what failed, how much room is left."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    told = await visit.ask("overview")
    zones = [] if told["disks"] else await visit.zones()
    return visit.page("overview.html", "Overview", told=told, zones=zones)
