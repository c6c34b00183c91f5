"""The zones of all regions: this server's, and those that others are known to have."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence


class Elsewhere(Collection[str]):
    """Zones of other servers. What has begun to walk through them goes on in those of before."""

    def __init__(self, zones: Collection[str]) -> None:
        self._zones = frozenset(zones)

    def become(self, zones: Collection[str]) -> None:
        self._zones = frozenset(zones)

    def __contains__(self, zone: object) -> bool:
        return zone in self._zones

    def __iter__(self) -> Iterator[str]:
        return iter(self._zones)

    def __len__(self) -> int:
        return len(self._zones)


class KnownZones:
    """`regions` and `elsewhere` are as the settings say, and follow what others have besides.

    May be used from any thread; one at a time calls `follow`.
    """

    def __init__(
        self, own: Mapping[str, Sequence[str]], named: Mapping[str, Sequence[str]]
    ) -> None:
        """`own` zones by region, and those `named` as another server's in the settings."""
        self.own = {zone: region for region, zones in own.items() for zone in zones}
        self._named = {zone: region for region, zones in named.items() for zone in zones}
        self.regions: dict[str, Sequence[str]] = {region: [] for region in own}
        self.elsewhere = Elsewhere(())
        self.follow({})

    def follow(self, others: Mapping[str, str]) -> bool:
        """Take in the zones of others, each with its region; whether that changed anything.

        Those in regions that the settings do not name are left out.
        """
        there = {
            zone: region
            for zone, region in {**self._named, **others}.items()
            if zone not in self.own and region in self.regions
        }
        zones = {region: [*self._of(self.own, region)] for region in self.regions}
        for region in zones:
            # Those that the settings name in their order.
            first = self._of(self._named, region)
            zones[region] += first + sorted(set(self._of(there, region)) - set(first))
        if zones == self.regions and set(there) == set(self.elsewhere):
            return False
        self.elsewhere.become(there)
        self.regions.update(zones)
        return True

    @staticmethod
    def _of(zones: Mapping[str, str], region: str) -> list[str]:
        return [zone for zone, its in zones.items() if its == region]
