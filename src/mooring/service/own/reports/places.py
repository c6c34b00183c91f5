"""The file systems that a server uses, each once: room, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mooring.backend.backend import Backend
from mooring.model.forecast import Sample
from mooring.service.overview.places import room_told
from mooring.service.own.own_request import Answer


def rooms_of(backend: Backend, samples: Mapping[str, Sequence[Sample]]) -> list[Answer]:
    """What `status` tells of each use, by file system; the soonest end of its uses is its own."""
    found: dict[object, Answer] = {}
    paths = {use: str(room.path) for use, room in backend.rooms.look()}
    for one in room_told(backend, samples):
        if one["away"]:
            continue
        place = found.setdefault(
            one["device"] or one["use"],
            {
                "uses": [],
                "path": paths.get(one["use"], ""),
                "freeBytes": one["freeBytes"],
                "sizeInBytes": one["sizeBytes"],
                "isShort": one["short"],
                "secondsUntilFull": None,
                "problem": None,
            },
        )
        place["uses"].append(one["use"])
        known = [place["secondsUntilFull"], one["secondsUntilFull"]]
        place["secondsUntilFull"] = min((each for each in known if each is not None), default=None)
    away = [{"uses": [use], "problem": problem} for use, problem in backend.rooms.away().items()]
    return [*found.values(), *away]
