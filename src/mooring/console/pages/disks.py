"""Disks: a list that is filtered and paged by the server."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    text, chosen = visit.query.get("text", ""), visit.query.get("show", "")
    told = await visit.ask("disk-list", text=text, show=chosen, pageToken=visit.query.get("page"))
    empty = not (told["disks"] or text or chosen)
    zones = await visit.zones() if empty else []
    return visit.page("disks.html", "Disks", told=told, text=text, chosen=chosen, zones=zones)
