"""The file systems that a server uses: how much room, and for how long."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.tables.snapshots import Stored
from mooring.service.own.own_request import Answer

DAY_SECONDS = 86_400


def rooms_of(backend: Backend, rates: Stored) -> list[Answer]:
    """Each file system once, with what it is used for, and the days until it is full.

    Those follow from what snapshots stored in the region in the last days, as if none was deleted.
    """
    found: dict[tuple[int, int], Answer] = {}
    for use, room in backend.rooms.look():
        # The same room of the same size is the same file system, as far as anybody can care.
        place = found.setdefault(
            (room.size, room.free),
            {
                "uses": [],
                "path": str(room.path),
                "freeBytes": room.free,
                "sizeInBytes": room.size,
                "isShort": room.is_short,
                "daysUntilFull": None,
                "problem": None,
            },
        )
        place["uses"].append(use)
        if use.startswith("vault") and rates.stored > 0 and rates.days > 0:
            place["daysUntilFull"] = room.free / (rates.stored / rates.days)
    away = [{"uses": [use], "problem": problem} for use, problem in backend.rooms.away().items()]
    return [*found.values(), *away]
