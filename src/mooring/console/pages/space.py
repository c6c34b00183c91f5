"""Space: what snapshots have stored, and how long there is room."""

from __future__ import annotations

from starlette.responses import Response

from mooring.console.visit import Visit


async def show(visit: Visit) -> Response:
    """The page; with what each disk stored, and each snapshot takes now, if that is asked for."""
    told = await visit.ask("space")
    # Counted after the page is there: it takes as long as there are many snapshots.
    by_disk = await visit.ask("space-by-disk") if visit.query.get("disks") else None
    usage = await visit.ask_all("usage", "snapshots") if visit.query.get("now") else None
    counted = None
    if usage is not None:
        rows = sorted(usage, key=lambda one: one["aloneBytes"], reverse=True)
        counted = {
            "rows": rows[:100],
            "count": len(rows),
            "alone": sum(one["aloneBytes"] for one in rows),
            "full": sum(one["fullCopyBytes"] for one in rows),
        }
    return visit.page("space.html", "Space", told=told, by_disk=by_disk, counted_now=counted)
