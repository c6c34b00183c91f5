"""What the catalog holds in a zone or region that the settings do not name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mooring.model.counts import counted

SHOWN_NAMES = 3
"""Disks that a sentence names; of more it gives the number."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A zone with its region, or a region alone for its snapshots, that is not in the settings."""

    region: str
    zone: str | None
    disks: tuple[str, ...] = ()
    instances: int = 0
    snapshots: int = 0

    def __str__(self) -> str:
        counts = ((self.instances, "instance"), (self.snapshots, "snapshot"))
        held = [counted(count, what) for count, what in counts if count]
        if self.disks:
            names = ", ".join(self.disks[:SHOWN_NAMES]) + ", ..." * (len(self.disks) > SHOWN_NAMES)
            held.insert(0, f"{counted(len(self.disks), 'disk')} ({names})")
        return (
            f"{self._place} has {' and '.join(held)} but is not in the settings, so they are not "
            f"served: add {self._setting} again to have them served; nothing of them was removed"
        )

    @property
    def _place(self) -> str:
        return f"the region {self.region}" if self.zone is None else f"the zone {self.zone}"

    @property
    def _setting(self) -> str:
        if self.zone is None:
            return f"[regions.{self.region}] with its zones and its vault"
        return f"{self.zone} to regions.{self.region}.zones"


@dataclass(frozen=True, slots=True)
class Away:
    """A zone of which nothing is known before what its disks lie in answers, with the reason."""

    zone: str
    disks: int
    problem: str

    def __str__(self) -> str:
        verb = "is" if self.disks == 1 else "are"
        return (
            f"the zone {self.zone} is away, so {counted(self.disks, 'disk')} {verb} not served by "
            f"this server: {self.problem}. It is tried again all the time"
        )


def absent(
    regions: Mapping[str, Sequence[str]],
    disks: Iterable[tuple[str, str, str]],
    instances: Mapping[tuple[str, str], int],
    snapshots: Mapping[str, int],
) -> list[Absent]:
    """What is held where the settings' `regions`, each with its zones, have nothing.

    `disks` are region, zone and name; `instances` how many by region and zone, `snapshots` by
    region. A zone that has moved to another region is there.
    """
    zones = {zone for its in regions.values() for zone in its}
    names: dict[tuple[str, str], list[str]] = {}
    for region, zone, name in disks:
        if zone not in zones:
            names.setdefault((region, zone), []).append(name)
    places = {one: count for one, count in instances.items() if one[1] not in zones}
    found = [
        Absent(region, zone, tuple(names.get((region, zone), ())), places.get((region, zone), 0))
        for region, zone in sorted(names.keys() | places.keys())
    ]
    return found + [
        Absent(region, None, snapshots=snapshots[region])
        for region in sorted(snapshots.keys() - regions.keys())
    ]
