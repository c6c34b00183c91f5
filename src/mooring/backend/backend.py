"""What requests, jobs and the taking of snapshots stand on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.backend.default_keys import DefaultKeys
from mooring.backend.import_places import ImportPlaces
from mooring.catalog.database import Catalog
from mooring.engine.interface import Engine
from mooring.host.interface import Devices
from mooring.host.rooms import Rooms
from mooring.model.clock import Clock
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
    ZoneAbsentError,
)
from mooring.model.ids import Ids, support_code
from mooring.model.meter import Meter
from mooring.model.names import shown
from mooring.model.resources.server import UNNAMED, Server
from mooring.protocol.serialize import Settled
from mooring.quiesce.interface import Quiescer
from mooring.relay.interface import NoRelay, Relay
from mooring.vault.served.interface import NoServer, SnapshotServer

if TYPE_CHECKING:
    from mooring.vault.vault import Replica, Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything below requests and jobs.

    `engines` by zone; by region `vaults`, `servers` of snapshots, and `replicas`: where a copy of
    the vault is kept. `image_files` is where ExportSnapshot writes, `imports` are where images come
    from; `views` are kept by views.py. `disks_of_pending` says that disks can be made of snapshots
    that are not stored yet. `elsewhere` are zones of
    `regions` that other servers serve. Leases bear the id of `this_server`. `meter` is told by jobs
    how far they are. `credentials` is the file of keys, and `keys_used` says when each was last
    used since the start, by its id.
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
    audit_file: Path | None = None
    keys_used: Mapping[str, int] = field(default_factory=dict)
    relay: Relay = field(default_factory=NoRelay)
    servers: Mapping[str, SnapshotServer] = field(default_factory=dict)
    replicas: Mapping[str, Replica] = field(default_factory=dict)
    views: dict[int, tuple[object, Settled]] = field(default_factory=dict)
    meter: Meter = field(default_factory=Meter)

    def engine(self, zone: str) -> Engine:
        """The engine of the zone. Raises OperationFailureException if there is none any more."""
        try:
            return self.engines[zone]
        except ZoneAbsentError as error:
            raise OperationFailureException(
                f"You can't do this right now: {error}.", "ZoneNotServed"
            ) from None

    def is_served(self, zone: str) -> bool:
        """Whether this server or another one has the zone's engine."""
        return zone in self.engines or zone in self.elsewhere

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
