"""Checks how full the file systems are, and sets the reserve aside again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from mooring.host.rooms import Rooms
from mooring.observe import metrics
from mooring.observe.loop import Loop

LOOK_SECONDS = 5.0

log = structlog.get_logger("mooring.room")


class RoomWatch:
    """A thread that looks at the room now and then: for the log, the metrics, and the reserve."""

    def __init__(self, rooms: Rooms, keep: Sequence[Callable[[], None]]) -> None:
        """`keep` is called at each look: what is done when there is room again."""
        self._rooms = rooms
        self._keep = list(keep)
        self._short: set[str] = set()
        self._away: dict[str, str] = {}
        self._loop = Loop("room-watch", self._round)

    def start(self) -> None:
        """Look for the first time before this returns."""
        self.look()
        self._loop.start()

    def stop(self) -> None:
        """Look no more. May be called without `start`."""
        # A file system that does not answer shall not hold up the end.
        self._loop.stop(LOOK_SECONDS)

    def look(self) -> None:
        """Tell of what is away or short now, and was not before; do what waits for room."""
        self._rooms.note_mounts()
        self._look_for_away()
        for use, room in self._rooms.look():
            metrics.room_left(use, room.free, room.size)
            if room.is_short and use not in self._short:
                self._short.add(use)
                log.warning("space is short", use=use, path=str(room.path), has=str(room))
            elif not room.is_short and use in self._short:
                self._short.discard(use)
                log.info("there is space again", use=use, path=str(room.path), has=str(room))
        for keep in self._keep:
            keep()

    def _look_for_away(self) -> None:
        away = self._rooms.away()
        for use in away.keys() | self._away.keys():
            metrics.place_there(use, use not in away)
        for use, problem in away.items():
            if use not in self._away:
                log.error("a file system is not mounted", use=use, problem=problem)
        for use in self._away.keys() - away.keys():
            log.info("a file system is back, and everything continues", use=use)
        self._away = away

    def _round(self) -> float:
        self.look()
        return LOOK_SECONDS
