"""Takes up the zones again that were away when the server started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from mooring.backend.backend import Backend
from mooring.engine.interface import Engine
from mooring.engine.zones import Engines
from mooring.jobs.recover import take_up
from mooring.jobs.watching.claim import claim
from mooring.model.errors import ClusterAwayError, MooringError
from mooring.observe import metrics
from mooring.observe.loop import Loop

LOOK_SECONDS = 5.0

log = structlog.get_logger("mooring.server")


class ZoneWatch:
    """A thread that tries to open what is away, if anything is; it rests when all is there."""

    def __init__(self, backend: Backend, engines: Engines, make: Callable[[str], Engine]) -> None:
        """`make` raises ClusterAwayError as long as a zone is away, other errors if it is wrong."""
        self._backend, self._engines, self._make = backend, engines, make
        self._loop = Loop("zone-watch", self._round)

    def start(self) -> None:
        if self._engines.away:
            self._loop.start()

    def stop(self) -> None:
        """May be called without `start`."""
        self._loop.stop()

    def look(self) -> None:
        """Try once to open each zone that is away."""
        for zone in sorted(self._engines.away):
            try:
                engine = self._make(zone)
            except ClusterAwayError as error:
                self._engines.away[zone] = str(error)
            except (MooringError, OSError) as error:
                # It is there, and not as it should be: somebody may mend it.
                if self._engines.away[zone] != str(error):
                    log.error("a zone cannot be taken up", zone=zone, why=str(error))
                self._engines.away[zone] = str(error)
            else:
                self._take_up(zone, engine)

    def _take_up(self, zone: str, engine: Engine) -> None:
        """As at a start, before anybody else has the engine."""
        alone = replace(self._backend, engines={zone: engine})
        try:
            claim(alone)
            take_up(alone)
        except BaseException:
            engine.close()
            raise
        self._engines[zone] = engine
        del self._engines.away[zone]
        metrics.zone_there(zone, there=True)
        log.info("a zone that was away is served again", zone=zone)

    def _round(self) -> float | None:
        self.look()
        if self._engines.away:
            return LOOK_SECONDS
        self._loop.signal()
        return None
