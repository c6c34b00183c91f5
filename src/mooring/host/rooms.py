"""The file systems that a server uses, and for what."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from mooring.host.mount_points import MountPoints
from mooring.host.reserve import Reserve
from mooring.host.room import Room, check_room, may_take, room_at
from mooring.model.clock import Clock, SystemClock

_TAKEN_SECONDS = 1.0
"""How long it holds that this user may take room in a place: to find out, some is taken."""

DISKS, IMAGE_FILES = "disks", "exports"


def of_zone(zone: str) -> str:
    """The use of a file system by the disks of a zone that has its own."""
    return f"{DISKS} of {zone}"


def of_vault(region: str) -> str:
    """The use of a file system by a region's vault."""
    return f"vault of {region}"


COPY_OF = "copy of the "
"""Comes before the use of a vault for that of its copy."""


def of_copy(region: str) -> str:
    """The use of a file system by the copy of a region's vault."""
    return COPY_OF + of_vault(region)


class Rooms:
    """The file systems that a server uses, by what it uses them for."""

    def __init__(
        self,
        places: Mapping[str, Path],
        margin: int,
        reserves: Mapping[str, Reserve] = {},
        mounts: MountPoints | None = None,
        mounted: Collection[str] = (),
        clock: Clock = SystemClock(),  # noqa: B008 - it has no state
    ) -> None:
        """`margin` is in bytes; `reserves` is what can be given up for a use.

        The uses `mounted` are away while nothing is mounted where `mounts` says something must be.
        """
        self._places = dict(places)
        self._margin = margin
        self.reserves = dict(reserves)
        self._mounts = mounts
        self._mounted = {use: places[use] for use in mounted if use in places}
        self._clock = clock
        self._taken_until: dict[Path, float] = {}

    def check(self, *uses: str) -> None:
        """See that what takes room may begin: each is there, and has more than the margin.

        Raises PlaceAwayError, DiskFullError.
        """
        self._check(uses, self._margin)

    def check_going_on(self, *uses: str) -> None:
        """The same for what is under way: it may take half of the margin before it has to wait."""
        self._check(uses, self._margin // 2)

    def has_margin(self, room: Room) -> bool:
        """Whether what takes room may begin where a file system has so much."""
        return not self._margin or room.has(self._margin)

    def check_there(self, use: str) -> None:
        """Raise PlaceAwayError if it is on a file system that is not mounted."""
        if self._mounts is not None and (path := self._mounted.get(use)) is not None:
            self._mounts.check(path, use)

    def make_folder(self, use: str, folder: Path) -> None:
        """Make a folder for this user alone in the place. Raises PlaceAwayError, OSError."""
        if self._mounts is not None and use in self._mounted:
            self._mounts.make(folder, use)
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def away(self) -> dict[str, str]:
        """Why uses are away, for those that are."""
        if self._mounts is None:
            return {}
        found = {use: self._mounts.problem(path, use) for use, path in self._mounted.items()}
        return {use: problem for use, problem in found.items() if problem is not None}

    def note_mounts(self) -> None:
        """Remember below which mount points they are."""
        if self._mounts is not None:
            self._mounts.note(self._mounted.values())

    def make_way(self, use: str) -> None:
        """Before what makes room there: see that it finds the little room that it needs."""
        if (reserve := self.reserves.get(use)) is not None:
            reserve.make_way()

    def look(self) -> Iterator[tuple[str, Room]]:
        """The room for each use; what is away, or cannot be looked at, is left out."""
        away = self.away()
        for use, path in self._places.items():
            if use in away:
                continue
            try:
                yield use, room_at(path)
            except OSError:
                continue

    def _check(self, uses: tuple[str, ...], margin: int) -> None:
        for use in uses:
            self.check_there(use)
            if (path := self._places.get(use)) is not None:
                check_room(path, use, margin, self._may_take)

    def _may_take(self, path: Path) -> bool:
        now = self._clock.monotonic()
        if self._taken_until.get(path, 0.0) > now:
            return True
        taken = may_take(path)
        if taken:
            self._taken_until[path] = now + _TAKEN_SECONDS
        return taken
