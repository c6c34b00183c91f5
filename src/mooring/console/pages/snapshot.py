"""Snapshot: what it cost, what it shares, what differs from another one; and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from mooring.console.drawing.difference import CELLS, Difference
from mooring.console.visit import Visit
from mooring.model.automatic.moment import read_auto_name
from mooring.model.errors import ServiceError

MOST_PAGES = 30
"""Pages of ranges that are read for a map: what differs in more places is told as it is so far."""


async def show(visit: Visit) -> Response:
    """The page."""
    name, other = visit.query.get("name", ""), visit.query.get("other", "")
    told = await visit.ask("snapshot", diskSnapshotName=name)
    usage = await _usage(visit, told) if visit.query.get("space") else None
    others = await _others(visit, told)
    return visit.page(
        "snapshot.html",
        name,
        told=told,
        usage=usage,
        other=other,
        others=others or [],
        gone=others is None,
        difference=await _difference(visit, name, other) if visit.query.get("map") else None,
    )


async def ask_deletion(visit: Visit) -> Response:
    """What would be lost."""
    name = visit.query.get("name", "")
    told = await visit.ask("snapshot", diskSnapshotName=name)
    return visit.page("delete.html", f"Delete {name}", told=told, usage=await _usage(visit, told))


async def delete(visit: Visit) -> Response:
    """Delete it, if its name was given again."""
    name = visit.form.get("name", "")
    told = await visit.ask("snapshot", diskSnapshotName=name)
    auto = read_auto_name(name)
    if auto is None:
        await visit.ask("DeleteDiskSnapshot", diskSnapshotName=name)
    else:
        await visit.ask("DeleteAutoSnapshot", resourceName=auto.of, date=auto.when)
    disk = told["diskName"]
    if disk and await visit.has_disk(disk):
        return visit.go("disk", name=disk, done="deleted")
    return visit.go("disks", done="deleted")


async def _others(visit: Visit, told: Mapping[str, Any]) -> list[str] | None:
    """Other snapshots of the same disk; None if that is gone."""
    if not told["diskName"]:
        return None
    try:
        found = await visit.ask("timeline", diskName=told["diskName"])
    except ServiceError:
        return None
    return [
        one["diskSnapshotName"]
        for one in found["snapshots"]
        if one["id"] != told["id"] and one["state"] == "completed"
    ]


async def _usage(visit: Visit, told: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What it takes in the vault alone, and with others."""
    try:
        found = await visit.ask_all("usage", "snapshots")
    except ServiceError:
        return None
    named = told["diskSnapshotName"], told["createdAt"], told["diskName"]
    for one in found:
        if (one["diskSnapshotName"], one["createdAt"], one["diskName"]) == named:
            return dict(one)
    return None


async def _difference(visit: Visit, name: str, other: str) -> Difference:
    """Which parts of the disk differ."""
    start, drawn = "0", None
    for _ in range(MOST_PAGES):
        told = await visit.ask(
            "diff", diskSnapshotName=name, fromDiskSnapshotName=other or None, startOffset=start
        )
        if drawn is None:
            drawn = Difference(told["sizeInBytes"], CELLS)
        for one in told["extents"]:
            drawn.add(one["offset"], one["length"])
        if told["nextOffset"] is None:
            break
        start = str(told["nextOffset"])
    else:
        assert drawn is not None
        drawn.partial = True
    assert drawn is not None
    return drawn
