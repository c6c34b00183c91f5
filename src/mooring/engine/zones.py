"""The engines by zone; a zone that the settings do not name has none."""

from __future__ import annotations

from mooring.engine.interface import Engine
from mooring.model.errors import ZoneAbsentError


class Engines(dict[str, Engine]):
    """Raises ZoneAbsentError, an EngineError, for a zone that is not there any more."""

    def __missing__(self, zone: str) -> Engine:
        raise ZoneAbsentError(
            f"the zone {zone} is not in the settings: add it to the zones of a region again "
            "(regions.<name>.zones), and start the server again"
        )
