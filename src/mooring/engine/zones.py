"""The engines by zone; one that is away, or not in the settings, has none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack

from mooring.engine.interface import Engine
from mooring.model.errors import ClusterAwayError, ZoneAbsentError, ZoneAwayError


class Engines(dict[str, Engine]):
    """Raises ZoneAbsentError, an EngineError, for a zone that is not there any more.

    Nor for one `elsewhere`, on another server of the catalog. A zone that is `away`, by why, may
    come back while the server runs: whoever takes long with all of them goes through a copy.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine] | Iterable[tuple[str, Engine]] = (),
        elsewhere: Collection[str] = (),
    ) -> None:
        super().__init__(engines)
        self.away: dict[str, str] = {}
        self._elsewhere = elsewhere

    def __missing__(self, zone: str) -> Engine:
        if zone in self._elsewhere:
            raise ZoneAbsentError(
                f"the disks of the zone {zone} are on another server: ask that one "
                "(`mooringd doctor` lists the servers)"
            )
        if (problem := self.away.get(zone)) is not None:
            raise ZoneAwayError(f"the zone {zone} is away: {problem}")
        raise ZoneAbsentError(
            f"the zone {zone} is not in the settings: add it to the zones of a region again "
            "(regions.<name>.zones), and start the server again"
        )

    def open(self, zone: str, make: Callable[[str], Engine]) -> None:
        """Have the zone's engine, or know why it is away. Raises what is wrong for good."""
        try:
            self[zone] = make(zone)
        except ClusterAwayError as error:
            self.away[zone] = str(error)

    def close(self) -> None:
        """Close those that are there; what cannot be closed keeps no other from it."""
        with ExitStack() as each:
            for engine in list(self.values()):
                each.callback(engine.close)
