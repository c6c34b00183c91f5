"""Overview: is all protected, what runs, what failed, how much room is left."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    return visit.page("overview.html", "Overview", told=await visit.ask("overview"))
