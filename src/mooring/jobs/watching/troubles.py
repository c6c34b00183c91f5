"""Gathers what is wrong, and keeps the catalog's list of it true.

Each server looks at what it alone can see: its disks, file systems, threads, and whether it reaches
the vaults. What is the same for all servers, such as snapshots that are missing, one of them looks
at: the leader. Rows are changed only when something begins or ends, or now and then to renew a
sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.sharing.servers import FORGOTTEN_MS
from mooring.jobs.watching.sources import Source
from mooring.model.forecast import SAMPLE_MS
from mooring.model.resources.server import SILENT_MS
from mooring.model.trouble import KnownTrouble, Trouble
from mooring.observe import alarms, metrics
from mooring.observe.loop import Loop, Repeats

LEADING = "troubles"
"""The task of which the catalog knows who has it."""

SHARED = ""
"""What stands for all servers."""

RENEW_MS = 300_000
"""How often the sentence of a trouble that lasts is renewed: ages in it grow."""

FORGET_MS = 7 * 24 * 3_600_000
"""For how long it is remembered what has ended and could not be told."""

LOGGED = 50
"""Troubles of one look that have a line of their own in the log."""

log = structlog.get_logger("mooring.troubles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often somebody looks, and how long something must be over until its end is told.

    Who leads is silent for `lead_ms` before another does.
    """

    look_seconds: float = 10.0
    tell_seconds: float = 2.0
    settle_ms: int = 20_000
    lead_ms: int = SILENT_MS


RHYTHM = Rhythm()


class TroubleWatch:
    """A thread that asks all sources now and then."""

    def __init__(
        self,
        backend: Backend,
        own: Mapping[str, Source],
        shared: Mapping[str, Source],
        rhythm: Rhythm = RHYTHM,
    ) -> None:
        """Sources by their names, for the log: those of this server, and those of all."""
        self._backend = backend
        self._own, self._shared = own, shared
        self._rhythm = rhythm
        self._this = backend.this_server.id
        self._found: dict[str, list[Trouble]] = {}
        self._repeats = Repeats()
        self._loop = Loop("trouble-watch", self._round)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Look no more. What hangs does not hold up the end."""
        self._loop.stop(1.0)
        if self._backend.catalog.is_for_many:
            try:
                with self._backend.catalog.write(durable=False) as transaction:
                    transaction.leads.leave(LEADING, self._this)
            except CATALOG_ERRORS as error:
                log.warning("another server leads later", why=type(error).__name__)

    def look(self) -> None:
        """Ask all sources, and record what has begun and what has ended."""
        leads = self.leads()
        found = {one.key: one for one in self._gather(self._own, self._this)}
        servers = [self._this]
        if leads:
            found |= {one.key: one for one in self._gather(self._shared, SHARED)}
            servers += [SHARED, *self._gone()]
        self._record(found, servers)
        self._sample()
        self._count()

    def _gone(self) -> list[str]:
        """The ids of servers that are forgotten: nobody else sees whether their troubles last."""
        if not self._backend.catalog.is_for_many:
            return []
        now = self._backend.clock.now_ms()
        with self._backend.catalog.read() as transaction:
            seen, named = transaction.servers.all(now), transaction.troubles.servers()
            left = transaction.servers.has_left_imports(now)
        known = {one.server.id for one in seen if one.silent_ms <= FORGOTTEN_MS}
        if left or len(known) < len(seen):
            with self._backend.catalog.write() as transaction:
                transaction.servers.leave_imports(now)
                transaction.servers.forget_gone(now)
        return sorted(named - known - {SHARED, self._this})

    def leads(self) -> bool:
        """Whether this server looks at what all see alike, and tells of it."""
        if not self._backend.catalog.is_for_many:
            return True
        with self._backend.catalog.write(durable=False) as transaction:
            now = self._backend.clock.now_ms()
            return transaction.leads.take(LEADING, self._this, self._rhythm.lead_ms, now)

    def _gather(self, sources: Mapping[str, Source], server: str) -> list[Trouble]:
        found: list[Trouble] = []
        for name, source in sources.items():
            try:
                self._found[name] = [self._seen_by(one, server) for one in source()]
            except Exception as error:
                metrics.thread_failed(f"trouble-watch {name}")
                if times := self._repeats.count(error):
                    log.error("troubles cannot be seen", of=name, times=times, exc_info=error)
            found += self._found.get(name, [])
        return found

    def _seen_by(self, one: Trouble, server: str) -> Trouble:
        """The trouble with who sees it, in words, too, where there may be others."""
        if server == SHARED or not self._backend.catalog.is_for_many:
            return replace(one, server=server)
        name = self._backend.this_server.name
        return replace(one, server=server, text=f"{one.text} (server {name})")

    def _record(self, found: Mapping[str, Trouble], servers: list[str]) -> None:
        now = self._backend.clock.now_ms()
        with self._backend.catalog.read() as transaction:
            known = {one.trouble.key: one for one in transaction.troubles.of(servers)}
        begun = [one for key, one in found.items() if key not in known]
        noted = [one for key, one in found.items() if key in known and _stale(known[key], one, now)]
        ended = [one for key, one in known.items() if key not in found and one.ended_ms is None]
        over = any(
            one.ended_ms is not None and one.trouble.key not in found for one in known.values()
        )
        if not (begun or noted or ended or over):
            return
        with self._backend.catalog.write() as transaction:
            for one in begun:
                transaction.troubles.begin(one, now)
            for one in noted:
                transaction.troubles.note(one, now)
            for gone in ended:
                transaction.troubles.end(gone.trouble.key, now)
            if SHARED in servers:
                transaction.troubles.forget_ended(now - self._rhythm.settle_ms, now - FORGET_MS)
        for one in begun[:LOGGED]:
            log.warning("a trouble has begun", kind=one.kind, what=one.text)
        for gone in ended[:LOGGED]:
            log.info("a trouble has ended", kind=gone.trouble.kind, what=gone.trouble.text)
        if max(len(begun), len(ended)) > LOGGED:
            log.warning("many troubles have begun or ended", begun=len(begun), ended=len(ended))

    def _sample(self) -> None:
        """Note now and then how full file systems are."""
        now = self._backend.clock.now_ms()
        with self._backend.catalog.read() as transaction:
            newest = transaction.room_samples.newest_ms(self._this)
        if newest is not None and 0 <= now - newest < SAMPLE_MS:
            return
        free = {use: room.free for use, room in self._backend.rooms.look()}
        with self._backend.catalog.write(durable=False) as transaction:
            transaction.room_samples.add(self._this, free, now)

    def _count(self) -> None:
        with self._backend.catalog.read() as transaction:
            alarms.troubles(transaction.troubles.count())
            pending = transaction.totals.pending()
        for region in self._backend.regions:
            count, oldest_ms = pending.get(region, (0, None))
            alarms.pending(region, count, None if oldest_ms is None else oldest_ms / 1000)

    def _round(self) -> float:
        self.look()
        return self._rhythm.look_seconds


def _stale(known: KnownTrouble, now_seen: Trouble, now_ms: int) -> bool:
    """Whether the catalog should know more: that it is not over, or what its sentence is now."""
    if known.ended_ms is not None:
        return True
    renewed = now_seen.text != known.trouble.text
    return renewed and not 0 <= now_ms - known.noted_ms < RENEW_MS
