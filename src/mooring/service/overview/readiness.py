"""Whether the server can do all that it is there for, part by part."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.observe import loop
from mooring.service.overview.places import vault_problem

FULL = "less is free than its margin: new work that takes space is refused"


def readiness(backend: Backend) -> dict[str, str | None]:
    """Each part, and what keeps it from working; None for one that works.

    Anybody may ask, so no paths are named: `mooring status` and the log have those.
    """
    found: dict[str, str | None] = {
        "catalog": backend.catalog.problem(),
        "threads": loop.ended(),
    }
    for region in backend.regions:
        away = vault_problem(backend, region)
        found[f"vault of {region}"] = None if away is None else "it cannot be used as it should"
    for zone in sorted(backend.engines):
        broken = backend.engines[zone].problem()
        found[f"engine of {zone}"] = broken
    for zone in backend.away:
        found[f"engine of {zone}"] = "what the disks are in does not answer"
    rooms = backend.rooms
    for use, room in rooms.look():
        found[f"space for the {use}"] = None if rooms.has_margin(room) else FULL
    for use in rooms.away():
        found[f"space for the {use}"] = "its file system is not mounted"
    return found
