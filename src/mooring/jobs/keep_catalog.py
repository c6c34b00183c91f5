"""Against the loss of the catalog: descriptions beside disks, and regular copies."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import structlog

from mooring.catalog.copies import CatalogCopies
from mooring.catalog.database import Catalog
from mooring.engine.zones import Engines
from mooring.model.clock import Clock
from mooring.model.errors import MooringError, PlaceAwayError
from mooring.model.resources.disk_description import describes, encode
from mooring.observe import metrics
from mooring.observe.loop import Loop

LOOK_SECONDS = 2.0
"""How often the catalog is looked at for disks that are other than described."""

SHARE = 50
"""The pause is so many times as long as the look, at least: many disks take no more of a core."""

RETRY_MS = 10 * 60 * 1000
"""When a copy that failed is tried again."""

AWAY_MS = 30 * 1000
"""When it is looked for the directory of copies again that was away."""

log = structlog.get_logger("mooring.jobs")


class Describer:
    """Keeps the description beside each disk's layers as the catalog has the disk."""

    def __init__(self, catalog: Catalog, engines: Engines) -> None:
        self._catalog = catalog
        self._engines = engines
        self._written: dict[str, bytes] | None = None

    def look(self) -> None:
        """Write the descriptions of disks that are other than described.

        One that cannot be written now, because its disk is being deleted or there is no room, is
        tried again by the next look.
        """
        written = self._known()
        with self._catalog.read() as transaction:
            disks = [disk for disk in transaction.disks.all() if describes(disk)]
            instances = {one.id: one for one in transaction.instances.all()}
        for disk in disks:
            text = encode(disk, instances.get(disk.instance_id or ""))
            if disk.zone in self._engines and written.get(disk.id) != text:
                try:
                    self._engines[disk.zone].describe(disk.id, text)
                except MooringError as error:
                    log.warning("a disk could not be described", disk=disk.id, error=str(error))
                else:
                    written[disk.id] = text
        for disk_id in written.keys() - {disk.id for disk in disks}:
            del written[disk_id]

    def _known(self) -> dict[str, bytes]:
        if self._written is None:
            known: dict[str, bytes] = {}
            for engine in self._engines.values():
                known.update(engine.descriptions())
            self._written = known
        return self._written


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
        self._not_before_ms = 0
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
                self._describer.look()
            except Exception:
                log.exception("disks are described when the server starts again")

    def look(self) -> Path | None:
        """Make a copy if one is due; returns it."""
        now = self._clock.now_ms()
        if self._catalog is None or not self._every_ms or now < self._not_before_ms:
            return None
        try:
            newest = self._copies.newest_ms()
            # A clock that was set back does not keep copies from being made.
            if newest is not None and newest <= now < newest + self._every_ms:
                return None
            made = self._copies.make(self._catalog)
        except PlaceAwayError as error:
            if self.problem != str(error):
                self._failed(str(error))
            self._not_before_ms = now + AWAY_MS
            return None
        except (OSError, sqlite3.Error) as error:
            self._failed(str(error))
            self._not_before_ms = now + RETRY_MS
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
