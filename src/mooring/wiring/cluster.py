"""A server among others of its catalog: what it tells them, and follows."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from mooring.backend.known_zones import KnownZones
from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.config.settings import Settings
from mooring.config.shared import Difference, differences, places, shared_values, with_shared
from mooring.jobs.running.leases import LEASE_MS
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.model.resources.host import HostState
from mooring.model.resources.server import Server
from mooring.observe.loop import Loop
from mooring.service.credentials.shared_keys import KEYS, SharedKeys
from mooring.service.credentials.shared_uses import SharedUses

LOOK_SECONDS = 1.0
"""How long what others have changed may go unnoticed."""

log = structlog.get_logger("mooring.server")


class Cluster:
    """Follows the access keys, the zones and the number of servers, and tells when keys are used;
    for the one server of a catalog in a file it does nothing.

    `zones` are those of all servers, and `servers` is how many there are.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        paths: Paths,
        clock: Clock,
        this: Server,
        uses: SharedUses,
    ) -> None:
        """`settings` are as this server's file has them; `uses` are those of the keys."""
        self.servers = 1
        named = {region: one.elsewhere for region, one in settings.regions.items()}
        self.zones = KnownZones({name: one.zones for name, one in settings.regions.items()}, named)
        self._catalog, self._clock, self._this = catalog, clock, this
        self._settings = settings
        self._keys = SharedKeys(catalog, paths.credentials, paths.cluster_key)
        self._uses = uses
        self._copied: Callable[[], None] = lambda: None
        self._loop = Loop("cluster", self._round)

    @property
    def is_shared(self) -> bool:
        return self._catalog.is_for_many

    def shared_settings(self) -> Settings:
        """The settings with what holds for all servers, if there are others."""
        if self.is_shared and self._catalog.is_current():
            with self._catalog.read() as transaction:
                if self.others(transaction):
                    return with_shared(self._settings, transaction.shared_settings.all())
        return self._settings

    def others(self, transaction: Transaction) -> list[Server]:
        """Other servers of the catalog that have not ended in order."""
        known = transaction.servers.all(self._clock.now_ms())
        return [one.server for one in known if one.server.id != self._this.id and not one.ended]

    def begin(self, copied: Callable[[], None]) -> None:
        """Tell others of this server, and take over what they have; `copied` is called whenever
        the file of access keys was written. Raises ConfigurationError."""
        if not self.is_shared:
            return
        self._copied = copied
        self._keys.begin()
        copied()
        with self._catalog.write() as transaction:
            self._share_zones(transaction)
            for one in self._share_settings(transaction):
                log.warning("a setting is not that of all servers", why=str(one))
        self.look()

    def start(self) -> None:
        if self.is_shared:
            self._loop.start()

    def stop(self) -> None:
        """May be called without `start`."""
        self._loop.stop()

    def look(self) -> None:
        """Follow what others have changed."""
        with self._catalog.read() as transaction:
            version = transaction.shared_secrets.version(KEYS)
            zones = transaction.zones.of_others(self._this.id)
            live = transaction.servers.live(LEASE_MS, self._clock.now_ms())
        self.servers = max(1, live)
        if self.zones.follow(zones):
            log.info("there are other zones", elsewhere=sorted(self.zones.elsewhere))
        if self._keys.follow(version):
            self._copied()

    def _share_zones(self, transaction: Transaction) -> None:
        known = transaction.zones.held()
        for zone, region in self.zones.own.items():
            if known.get(zone, region) != region:
                raise ConfigurationError(
                    f"the zone {zone} is in the region {known[zone]}, says another server of the "
                    f"catalog, so it cannot be in {region}: give it another name in this server's "
                    "settings"
                )
        others = {
            zone: one.host.id
            for one in transaction.hosts.all(self._clock.now_ms())
            if one.host.id != self._this.id and one.state is not HostState.FENCED
            for zone in one.host.zones
        }
        transaction.zones.note(self._this.id, self.zones.own, others)

    def _share_settings(self, transaction: Transaction) -> list[Difference]:
        """Enter what others do not know yet; returns what they have otherwise."""
        shared = transaction.shared_settings.held()
        mine = {**shared_values(self._settings), **places(self._settings)}
        if self.others(transaction):
            mine = {name: value for name, value in mine.items() if name not in shared}
        new = {name: value for name, value in mine.items() if shared.get(name) != value}
        transaction.shared_settings.put(new, self._this.name, self._clock.now_ms())
        return differences(self._settings, {**shared, **new})

    def _round(self) -> float:
        self.look()
        self._uses.enter()
        return LOOK_SECONDS
