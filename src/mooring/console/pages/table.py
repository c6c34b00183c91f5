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

PAGES: dict[str, Page] = {
    "": overview.show,
    "disks": disks.show,
    "disk": disk.show,
    "snapshot": snapshot.show,
    "delete": snapshot.ask_deletion,
    "files": files.show,
    "download": files.download,
    "restore": restore.show,
    "lineage": lineage.show,
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
