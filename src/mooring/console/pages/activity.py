"""Activity: jobs under way, operations, and for administrators who changed what."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """Jobs and operations."""
    told = await visit.ask("GetOperations", pageToken=visit.query.get("page"))
    return visit.page(
        "activity.html",
        "Activity",
        jobs=await visit.ask("jobs"),
        operations=told["operations"],
        more=told["nextPageToken"],
    )


async def audit(visit: Visit) -> Response:
    """The audit log, newest lines first."""
    text = visit.query.get("text", "")
    told = await visit.ask("audit", text=text, pageToken=visit.query.get("page"))
    return visit.page("audit.html", "Audit log", told=told, text=text)
