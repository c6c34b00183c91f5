"""The engines by zone; a zone that the settings do not name has none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from mooring.engine.interface import Engine
from mooring.model.errors import ZoneAbsentError


class Engines(dict[str, Engine]):
    """Raises ZoneAbsentError, an EngineError, for a zone that is not there any more.

    Nor for one `elsewhere`, on another server of the catalog.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine] | Iterable[tuple[str, Engine]] = (),
        elsewhere: Collection[str] = (),
    ) -> None:
        super().__init__(engines)
        self._elsewhere = elsewhere

    def __missing__(self, zone: str) -> Engine:
        if zone in self._elsewhere:
            raise ZoneAbsentError(
                f"the disks of the zone {zone} are on another server: ask that one "
                "(`mooringd doctor` lists the servers)"
            )
        raise ZoneAbsentError(
            f"the zone {zone} is not in the settings: add it to the zones of a region again "
            "(regions.<name>.zones), and start the server again"
        )
