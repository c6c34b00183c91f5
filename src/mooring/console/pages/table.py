"""The one table of pages: what answers each address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from mooring.console.pages import (
    activity,
    disk,
    disks,
    files,
    health,
    keys,
    lineage,
    overview,
    restore,
    snapshot,
    space,
)
from mooring.console.visit import Visit

Page = Callable[[Visit], Awaitable[Response]]


def _named(member: str, page: Page) -> Page:
    """The page, or the list of disks where an address that was cut off does not say of what."""

    async def show(visit: Visit) -> Response:
        return await page(visit) if visit.query.get(member) else visit.go("disks")

    return show


PAGES: dict[str, Page] = {
    "": overview.show,
    "disks": disks.show,
    "disk": _named("name", disk.show),
    "snapshot": _named("name", snapshot.show),
    "delete": _named("name", snapshot.ask_deletion),
    "files": _named("name", files.show),
    "download": _named("name", files.download),
    "restore": _named("disk", restore.show),
    "lineage": _named("name", lineage.show),
    "activity": activity.show,
    "audit": activity.audit,
    "space": space.show,
    "health": health.show,
    "keys": keys.show,
    "keys/remove": keys.ask_removal,
}
"""By what stands behind the region in the address. They only ask."""

ACTIONS: dict[str, Page] = {
    "disk/snapshot": disk.take_snapshot,
    "disk/rhythms": disk.set_rhythms,
    "delete": snapshot.delete,
    "restore": restore.act,
    "keys/create": keys.create,
    "keys/rotate": keys.rotate,
    "keys/remove": keys.remove,
}
"""What forms post to. They change something, and lead on to a page."""
