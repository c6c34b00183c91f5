"""A world of a server for development: what there is between two resets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from mooring.api.app import create_app
from mooring.catalog.connections import MEMORY
from mooring.config.settings import (
    AuditSettings,
    CatalogCopySettings,
    EngineSettings,
    Region,
    RoomSettings,
    Settings,
    Throttle,
    VaultSettings,
)
from mooring.console.on_demand import ConsoleOnDemand
from mooring.development.forward_clock import ForwardClock
from mooring.development.stage import Stage
from mooring.development.staged_procedures import staged
from mooring.development.trust import BROWSERS, MOST_REGIONS, REGION, trusting
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import InvalidInputException, MooringError
from mooring.model.paths import Paths
from mooring.model.resources.job_kind import JobKind
from mooring.protocol import service_model
from mooring.service.overview.readiness import readiness
from mooring.service.own.own_request import OwnRequest
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.table import OPERATIONS, handlers
from mooring.wiring.build_server import build_server
from mooring.wiring.parts import Parts
from mooring.wiring.watches import problem

QEMU = "qemu"

ZONES = "abcdef"
"""The zones of each region, by their last letters."""

LATEST_MS = 7_258_118_400_000
"""2200-01-01: dates that clients can read."""

MOST_AT_ONCE = 100
"""Moments with automatic snapshots that one advance goes through."""

LOOK_SECONDS = 0.002
PATIENCE_SECONDS = 10.0
"""How often, and for how long, it is waited for what has to be done first."""

log = structlog.get_logger("mooring.development")


class World:
    """Disks, snapshots, instances, the clock, and what was asked of the stage."""

    def __init__(
        self,
        folder: Path,
        engine: str,
        requests: Callable[[World], Mapping[str, OwnRequest]],
    ) -> None:
        """`folder` is its own; `requests` are those that only such a server answers."""
        self.stage, self._clock = Stage(), ForwardClock()
        settings = _settings(folder, engine)
        parts = Parts(clock=self._clock, procedures=staged(PROCEDURES, self.stage), reserves=False)
        self._mooring = build_server(settings, parts)
        self._console = ConsoleOnDemand(self._mooring.paths.console_links())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._busy = 0
        self._idle = threading.Condition()
        try:
            self._mooring.start()
            self.operations = {*OPERATIONS, *OWN_REQUESTS}
            self._app = self._make_app({**OWN_REQUESTS, **requests(self)})
        except BaseException:
            self._mooring.stop()
            raise

    def _make_app(self, own_requests: Mapping[str, OwnRequest]) -> ASGIApp:
        mooring = self._mooring
        return create_app(
            model=service_model.load(),
            handlers=handlers(mooring.backend),
            own_requests=own_requests,
            own_handlers=own_handlers(mooring.backend, own_requests),
            find_key=BROWSERS.get,
            regions=mooring.backend.regions,
            clock=self._clock,
            ids=mooring.backend.ids,
            limits=mooring.settings.limits,
            throttles=mooring.settings.throttle,
            entries=OPERATIONS,
            traffic=mooring.traffic,
            problem=partial(problem, mooring.backend),
            parts=partial(readiness, mooring.backend),
            identify=trusting(self.make_region),
            console=self._console.app,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        self._loop = asyncio.get_running_loop()
        with self._idle:
            self._busy += 1
        try:
            await self._app(scope, receive, send)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def end(self) -> None:
        """Let requests under way but one come to their end, then let go of everything."""
        self.end_pages()
        with self._idle:
            self._idle.wait_for(lambda: self._busy <= 1, PATIENCE_SECONDS)
        self.stop()

    def end_pages(self) -> None:
        """Let go of pages that wait for news; they ask again."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._console.end)

    def stop(self) -> None:
        """Let go of everything; disks are not served any more."""
        self._mooring.stop()
        if self._mooring.settings.engine.kind == QEMU:
            end_daemons(self._mooring.paths.data)

    def make_region(self, name: str) -> bool:
        """Whether there is a region of that name now, made if need be; false: there are many."""
        regions = self._mooring.backend.regions
        if name in regions:
            return True
        with self._lock:
            if name not in regions and len(regions) < MOST_REGIONS:
                self._mooring.add_region(name, [name + letter for letter in ZONES])
        return name in regions

    # --- the clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def advance(self, seconds: float) -> None:
        """Put the clock forward; automatic snapshots due until then are taken, each at its time.

        Raises InvalidInputException where there would be too many of them, or no calendar.
        """
        end = self.now_ms() + round(seconds * 1000)
        if end > LATEST_MS:
            raise InvalidInputException("The clock goes no farther than the year 2200.")
        with self._lock:
            taken = 0
            while (due := self._next_automatic()) is not None and due <= end:
                if taken == MOST_AT_ONCE:
                    raise InvalidInputException(
                        f"There are more than {MOST_AT_ONCE} moments until then at which automatic "
                        "snapshots are due. The clock is at the last of these: advance it again."
                    )
                self._take_automatic(due)
                taken += 1
            self._clock.advance_to(end)
            self._mooring.look_again()

    def advance_to_automatic(self) -> None:
        """Put the clock forward to the next automatic snapshot, and have it taken.

        Raises InvalidInputException if none is to come.
        """
        with self._lock:
            due = self._next_automatic()
            if due is None:
                raise InvalidInputException(
                    "No automatic snapshot is to come: enable-add-on or the tag mooring:snapshots "
                    "makes disks and instances have some."
                )
            self._take_automatic(due)

    def _next_automatic(self) -> int | None:
        with self._mooring.backend.catalog.read() as transaction:
            return transaction.auto_runs.next_ms(self.now_ms())

    def _take_automatic(self, due_ms: int) -> None:
        """Let it be that time, and what is due then be taken: frozen, not necessarily stored."""
        self._clock.advance_to(due_ms)
        self._mooring.look_again()
        end = self._clock.seconds_of_machine() + PATIENCE_SECONDS
        while not self._taken(due_ms):
            if self._clock.seconds_of_machine() > end:
                raise InvalidInputException(
                    "An automatic snapshot is due and cannot be taken: the one before it is not "
                    "stored yet. POST /mooring/release, if it is held."
                )
            self._clock.sleep(LOOK_SECONDS)

    def _taken(self, due_ms: int) -> bool:
        with self._mooring.backend.catalog.read() as transaction:
            if transaction.auto_runs.due(due_ms, limit=1):
                return False
            return not transaction.jobs.of_kind(JobKind.FREEZE)


def end_daemons(place: Path) -> None:
    """End what still serves disks of a world whose server has stopped, or was killed."""
    zones = [one.name for one in Paths(place).zones.glob("*")]
    if not zones:
        return
    try:
        settings = replace(_settings(place, QEMU), regions={REGION: Region(zones=zones)})
        mooring = build_server(settings, Parts(reserves=False))
        try:
            # None is wanted.
            devices = mooring.backend.devices
            for problem in devices.leave(devices.known()).values():
                log.warning("a block device is left", why=problem)
            for engine in mooring.backend.engines.values():
                engine.adopt({})
        finally:
            mooring.stop()
    except (MooringError, OSError) as error:
        log.warning("storage daemons may be left", folder=str(place), why=str(error))


def _settings(folder: Path, engine: str) -> Settings:
    return Settings(
        data=str(folder),
        catalog=MEMORY,
        catalog_copies=CatalogCopySettings(hours=0, keep=0),
        regions={REGION: Region(zones=[REGION + letter for letter in ZONES])},
        engine=EngineSettings(kind=engine),
        vault=VaultSettings(collect_minutes=0, verify_hours=0, index_mib=16),
        # A laptop's disk may be nearly full.
        room=RoomSettings(margin_mib=0),
        throttle=Throttle(user_rate=0, rate=0, refused_rate=0),
        audit=AuditSettings(enabled=False),
    )
