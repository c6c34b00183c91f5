"""Lineage: what a disk was made from, and what was made of it."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page."""
    name = visit.query.get("name", "")
    told = await visit.ask("lineage", diskName=name)
    return visit.page("lineage.html", f"Lineage of {name}", told=told)
