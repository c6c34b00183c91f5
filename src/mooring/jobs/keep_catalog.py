"""Against the loss of the catalog: descriptions beside disks, and regular copies."""

from __future__ import annotations

import json
import sqlite3
from hashlib import blake2b
from pathlib import Path

import structlog

from mooring.catalog.copies import CatalogCopies
from mooring.catalog.database import Catalog
from mooring.engine.zones import Engines
from mooring.model.clock import Clock
from mooring.model.errors import MooringError, PlaceAwayError
from mooring.model.resources.disk import Disk
from mooring.model.resources.disk_description import describes, encode, told
from mooring.model.resources.instance import Instance
from mooring.observe import metrics
from mooring.observe.loop import Loop

LOOK_SECONDS = 2.0
"""How often the catalog is looked at for disks that are other than described."""

AT_ONCE = 1000
"""Disks that are looked at each time; of more, each has its turn."""

STOP_SECONDS = 2.0
"""How long a server that stops looks once more at disks."""

SHARE = 50
"""The pause is so many times as long as the look, at least: many disks take no more of a core."""

RETRY_SECONDS = 10 * 60.0
"""When a copy that failed is tried again."""

AWAY_SECONDS = 30.0
"""When it is looked for the directory of copies again that was away."""

log = structlog.get_logger("mooring.jobs")


class Describer:
    """Keeps the description beside each disk's layers as the catalog has the disk.

    It walks through the disks of its zones again and again, in the order of their making.
    """

    def __init__(
        self, catalog: Catalog, engines: Engines, at_once: int = AT_ONCE, host: str = ""
    ) -> None:
        """`at_once`: disks that one look compares; `host` is the one whose disks they are."""
        self._catalog, self._host = catalog, host
        self._engines = engines
        self._at_once = at_once
        self._zones: list[str] = []
        self._after = 0
        # Digests of what is said of disks: as of the last walk, and of those met in this one.
        self._known: dict[str, bytes] = {}
        self._met: dict[str, bytes] = {}

    def look(self) -> bool:
        """Write the descriptions of the next disks that are other than described.

        One that cannot be written now, because its disk is being deleted or there is no room, is
        tried again by the next walk. Says whether these were the last disks of a walk.
        """
        if not self._zones:
            self._zones, self._after = list(self._engines), 0
        for disk, instance in self._next():
            if describes(disk) and disk.host in ("", self._host):
                self._describe(disk, instance)
        if self._zones:
            return False
        # Those that were not met are gone.
        self._known, self._met = self._met, {}
        return True

    def look_at_all(self, clock: Clock, seconds: float) -> None:
        """Walk through all disks from the first on, for so long at most."""
        end = clock.monotonic() + seconds
        self._zones = []
        while not self.look() and clock.monotonic() < end:
            pass

    def _next(self) -> list[tuple[Disk, Instance | None]]:
        """The next disks, each with the instance that it is attached to."""
        disks: list[Disk] = []
        with self._catalog.read() as transaction:
            while self._zones and (left := self._at_once - len(disks)):
                found, more = transaction.disks.in_zone(self._zones[0], self._after, left)
                disks += found
                self._after = more or 0
                if more is None:
                    del self._zones[0]
            used = dict.fromkeys(disk.instance_id for disk in disks if disk.instance_id)
            instances = {one.id: one for one in transaction.instances.among(used)}
        return [(disk, instances.get(disk.instance_id or "")) for disk in disks]

    def _describe(self, disk: Disk, instance: Instance | None) -> None:
        engine, digest = self._engines[disk.zone], _digest(disk, instance)
        known = self._met.get(disk.id) or self._known.get(disk.id)
        try:
            if known != digest:
                text = encode(disk, instance)
                if known is not None or engine.description(disk.id) != text:
                    engine.describe(disk.id, text)
        except MooringError as error:
            log.warning("a disk could not be described", disk=disk.id, error=str(error))
        else:
            self._met[disk.id] = digest


def _digest(disk: Disk, instance: Instance | None) -> bytes:
    """Of what the text would say: to write that for people takes three times as long."""
    return blake2b(json.dumps(told(disk, instance)).encode(), digest_size=16).digest()


class CatalogKeeper:
    """A thread that describes disks, and copies a catalog that is one file."""

    def __init__(
        self,
        describer: Describer,
        copies: CatalogCopies,
        catalog: Path | None,
        every_hours: float,
        clock: Clock,
    ) -> None:
        """`catalog` is its file; None if it is in another database, which has its own means."""
        self._describer = describer
        self._copies = copies
        self._catalog = catalog
        self._every_ms = every_hours * 3_600_000
        self._clock = clock
        self._not_before = 0.0
        self.problem = ""
        """Why the last copy failed; empty if it did not."""
        self._loop = Loop("catalog-keeper", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Describe a last time what has changed. May be called without `start`."""
        started = self._loop.started
        self._loop.stop()
        if started:
            try:
                self._describer.look_at_all(self._clock, STOP_SECONDS)
            except Exception:
                log.exception("disks are described when the server starts again")

    def look(self) -> Path | None:
        """Make a copy if one is due; returns it."""
        now, steady = self._clock.now_ms(), self._clock.monotonic()
        if self._catalog is None or not self._every_ms or steady < self._not_before:
            return None
        try:
            newest = self._copies.newest_ms()
            if newest is not None and now < newest + self._every_ms:
                return None
            made = self._copies.make(self._catalog)
        except PlaceAwayError as error:
            if self.problem != str(error):
                self._failed(str(error))
            self._not_before = steady + AWAY_SECONDS
            return None
        except (OSError, sqlite3.Error) as error:
            self._failed(str(error))
            self._not_before = steady + RETRY_SECONDS
            return None
        self.problem = ""
        if made is not None:
            metrics.catalog_copied(now / 1000)
        return made

    def _failed(self, why: str) -> None:
        self.problem = why
        metrics.catalog_copy_failed()
        log.error("the catalog could not be copied", why=why)

    def _round(self) -> float:
        began = self._clock.monotonic()
        # A copy does not depend on what lies beside disks: it comes first.
        self.look()
        self._describer.look()
        return max(LOOK_SECONDS, SHARE * (self._clock.monotonic() - began))
