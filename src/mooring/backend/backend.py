"""What requests, jobs and the taking of snapshots stand on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mooring.backend.default_keys import DefaultKeys
from mooring.backend.hosts import HostBook
from mooring.backend.import_places import ImportPlaces
from mooring.backend.under_way import UnderWay
from mooring.catalog.database import Catalog
from mooring.engine.interface import Engine
from mooring.engine.zones import Engines
from mooring.host.devices.interface import Devices
from mooring.host.rooms import Rooms
from mooring.model.automatic.leaps import Leaps
from mooring.model.clock import Clock
from mooring.model.errors import (
    HostElsewhereException,
    InvalidInputException,
    OperationFailureException,
    ZoneAbsentError,
)
from mooring.model.ids import Ids, support_code
from mooring.model.meter import Meter
from mooring.model.names import shown
from mooring.model.resources.host import HostState
from mooring.model.resources.job import Job
from mooring.model.resources.server import UNNAMED, Server
from mooring.model.trouble import TroubleKind
from mooring.protocol.serialize import Settled
from mooring.quiesce.interface import Quiescer
from mooring.relay.interface import NoRelay, Relay
from mooring.vault.served.interface import NoServer, SnapshotServer

if TYPE_CHECKING:
    from mooring.vault.vault import Replica, Vault


class Placed(Protocol):
    """A disk, or an instance."""

    @property
    def zone(self) -> str: ...
    @property
    def host(self) -> str: ...


Ends = Mapping[TroubleKind, Mapping[str, int]]
"""When what ends does, in milliseconds, by name: certificates of settings, and access keys."""


def _no_ends() -> Ends:
    return {}


def _nothing(_zone: str) -> None:
    """Whatever is asked of an engine may be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything below requests and jobs.

    `engines` by zone; by region `vaults`, `servers` of snapshots, and `replicas`: where a copy of
    the vault is kept. `image_files` is where ExportSnapshot writes, `imports` are where images come
    from; `views` are kept by views.py. `disks_of_pending` says that disks can be made of snapshots
    that are not stored yet. `elsewhere` are zones of `regions` of which only other servers have
    disks. Leases bear the id of `this_server`. `meter` is told by jobs how far they are; `leaps`
    are those of the clock, as the retention of automatic snapshots sees them.
    `credentials` is the file of keys; where servers share the catalog it has them, sealed with the
    key in the file `cluster_key`, and `credentials` is a copy. `keys_used` tells when each was last
    used, by its id: here since the start, and at any server that shares the catalog. `check_here`
    raises what keeps a request from this host's disks in a zone; whether it is about them is known
    only when it asks for their engine. `under_way` has requests that are being done.
    """

    catalog: Catalog
    engines: Mapping[str, Engine]
    vaults: Mapping[str, Vault]
    regions: Mapping[str, Sequence[str]]
    clock: Clock
    ids: Ids
    account_id: str
    max_pending_snapshots: int
    rooms: Rooms
    quiescer: Quiescer
    devices: Devices
    image_files: Path
    imports: ImportPlaces
    default_keys: DefaultKeys
    disks_of_pending: bool = False
    elsewhere: Collection[str] = ()
    this_server: Server = UNNAMED
    credentials: Path | None = None
    cluster_key: Path | None = None
    audit_file: Path | None = None
    keys_used: Callable[[], Mapping[str, int]] = dict
    ends: Callable[[], Ends] = _no_ends
    relay: Relay = field(default_factory=NoRelay)
    servers: Mapping[str, SnapshotServer] = field(default_factory=dict)
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    views: dict[int, tuple[object, Settled]] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)
    leaps: Leaps = field(default_factory=Leaps)
    hosts: HostBook = field(default_factory=HostBook)
    check_here: Callable[[str], None] = _nothing
    under_way: UnderWay = field(default_factory=UnderWay)

    @property
    def host(self) -> str:
        """By what rows name this host; empty where there is no other."""
        return self.this_server.id if self.catalog.is_for_many else ""

    @property
    def server_name(self) -> str | None:
        """This server's name, for answers about its host; None where there is no other."""
        return self.this_server.name if self.catalog.is_for_many else None

    def has(self, placed: Placed) -> bool:
        """Whether the disk, or what the instance has, is on this host."""
        return placed.zone in self.engines and placed.host in ("", self.host)

    def is_lost(self, placed: Placed) -> bool:
        """Whether it is on a host that was fenced: nothing can be done there, nor need be."""
        if placed.host in ("", self.host):
            return False
        seen = self.hosts.find(placed.host)
        return seen is not None and seen.state is HostState.FENCED

    def runs(self, job: Job) -> bool:
        """Whether a job that works on disks is this host's; also if its zone is not there now."""
        return job.server in ("", self.host) and job.zone not in self.elsewhere

    def engine(self, placed: Placed) -> Engine:
        """The engine that has the disk, or those of the instance.

        Raises HostElsewhereException if it is another host's, OperationFailureException if the
        zone is not there any more.
        """
        if (why := self.dropped(placed)) is not None:
            raise OperationFailureException(f"You can't do this right now: {why}.", "ZoneNotServed")
        if placed.host not in ("", self.host):
            known = self.hosts.find(placed.host)
            name = placed.host if known is None else known.host.name
            raise HostElsewhereException(
                f"This is for the host {name}: ask its server.", placed.host, placed.zone
            )
        if placed.zone in self.elsewhere:
            raise HostElsewhereException(
                f"The disks of the zone {placed.zone} are on other hosts, and none of them has "
                "this: ask the server of one (`mooringd hosts` lists them).",
                "",
                placed.zone,
            )
        self.check_here(placed.zone)
        try:
            return self.engines[placed.zone]
        except ZoneAbsentError as error:
            raise OperationFailureException(
                f"You can't do this right now: {error}.", "ZoneNotServed"
            ) from None

    @property
    def away(self) -> Mapping[str, str]:
        """The zones of this server that are away, each with the reason."""
        return dict(self.engines.away) if isinstance(self.engines, Engines) else {}

    def check_not_away(self, placed: Placed) -> None:
        """Raise OperationFailureException if it is this host's, in a zone that is away."""
        if placed.host in ("", self.host) and placed.zone in self.away:
            self.engine(placed)

    def dropped(self, placed: Placed) -> str | None:
        """Why its host does not serve it: that one's settings have the zone no more. None: they do.

        Nothing is said of the zones of a server that is alone.
        """
        if not placed.host:
            return None
        zones, name = {*self.engines, *self.away}, self.this_server.name
        if placed.host != self.host:
            seen = self.hosts.find(placed.host)
            if seen is None:
                return None
            zones, name = set(seen.host.zones), seen.host.name
        if placed.zone in zones:
            return None
        return (
            f"the zone {placed.zone} is not in the settings of its host {name}: add it to the "
            "zones of a region there again (regions.<name>.zones), and start that server again"
        )

    def unserved(self, placed: Placed) -> str | None:
        """Why no server does anything with it, until somebody does something about that.

        None for what is served, and for what is on a host that is only silent, or on none yet.
        """
        if (why := self.dropped(placed)) is not None:
            return why
        if placed.host not in ("", self.host):
            return self.hosts.problem(placed.host) if self.is_lost(placed) else None
        if placed.zone in self.elsewhere:
            return None
        try:
            self.engines[placed.zone]
        except ZoneAbsentError as error:
            return str(error)
        return None

    def is_served(self, placed: Placed) -> bool:
        """Whether this server or another one has the engine for it."""
        known = placed.zone in self.engines or placed.zone in self.elsewhere
        if placed.zone in self.away:
            known = placed.host not in ("", self.host)  # what this host has is away
        return known and self.dropped(placed) is None

    def server(self, region: str) -> SnapshotServer:
        return self.servers.get(region, NoServer())

    def region_of(self, zone: str, otherwise: str) -> str:
        """The region that has the zone; `otherwise` if it is none of ours any more."""
        return next((name for name, zones in self.regions.items() if zone in zones), otherwise)

    def support_code(self, prefix: str) -> str:
        """A support code as the service makes them, for example for the prefix `vol`."""
        return support_code(self.ids, self.account_id, prefix)

    def check_zone(self, region: str, zone: str) -> str:
        """Return the zone, or raise InvalidInputException if the region does not have it."""
        zones = self.regions[region]
        if zone not in zones:
            raise InvalidInputException(
                f"The availability zone {shown(zone)} is not in the region {region}. "
                f"Its zones are: {', '.join(zones)}."
            )
        return zone
