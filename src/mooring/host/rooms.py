"""The file systems that a server uses, and for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mooring.host.reserve import Reserve
from mooring.host.room import Room, check_room, room_at

DISKS, IMAGE_FILES = "disks", "exports"


def of_vault(region: str) -> str:
    """The use of a file system by a region's vault."""
    return f"vault of {region}"


class Rooms:
    """The file systems that a server uses, by what it uses them for."""

    def __init__(
        self, places: Mapping[str, Path], margin: int, reserves: Mapping[str, Reserve] = {}
    ) -> None:
        """`margin` is in bytes; `reserves` is what can be given up for a use."""
        self._places = dict(places)
        self._margin = margin
        self.reserves = dict(reserves)

    def check(self, *uses: str) -> None:
        """Raise DiskFullError if there is too little room to begin what takes some."""
        self._check(uses, self._margin)

    def check_going_on(self, *uses: str) -> None:
        """The same for what is under way: it may take half of the margin before it has to wait."""
        self._check(uses, self._margin // 2)

    def make_way(self, use: str) -> None:
        """Before what makes room there: see that it finds the little room that it needs."""
        if (reserve := self.reserves.get(use)) is not None:
            reserve.make_way()

    def look(self) -> Iterator[tuple[str, Room]]:
        """The room for each use; what cannot be looked at is left out."""
        for use, path in self._places.items():
            try:
                yield use, room_at(path)
            except OSError:
                continue

    def _check(self, uses: tuple[str, ...], margin: int) -> None:
        for use in uses:
            if (path := self._places.get(use)) is not None:
                check_room(path, use, margin)
