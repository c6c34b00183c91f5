"""What the service stands on, and the call that it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mooring.catalog.database import Catalog, Transaction
from mooring.engine.interface import Engine
from mooring.host.interface import Devices
from mooring.host.rooms import DISKS, IMAGE_FILES, Rooms, of_vault
from mooring.model.clock import Clock
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
    ZoneAbsentError,
)
from mooring.model.ids import Ids, support_code
from mooring.model.names import shown
from mooring.protocol.serialize import Settled
from mooring.quiesce.interface import Quiescer
from mooring.service.context import Context
from mooring.backend.default_keys import DefaultKeys
from mooring.service.entry import Takes
from mooring.backend.import_places import ImportPlaces
from mooring.vault.served.interface import NoServer, SnapshotServer
from mooring.vault.vault import Vault

Params = Mapping[str, Any]
Result = dict[str, Any]

ANSWERS_KEPT_MS = 15 * 60 * 1000
"""How long a client that lost an answer may ask again and get the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Everything below the service.

    `engines` by zone, `servers` of snapshots and `vaults` by region; `image_files` is where
    ExportSnapshot writes, `imports` are where images come from; `views` are kept by views.py.
    """

    catalog: Catalog
    engines: Mapping[str, Engine]
    regions: Mapping[str, Sequence[str]]
    clock: Clock
    ids: Ids
    account_id: str
    max_pending_snapshots: int
    image_files: Path
    imports: ImportPlaces
    default_keys: DefaultKeys
    rooms: Rooms
    quiescer: Quiescer
    devices: Devices
    servers: Mapping[str, SnapshotServer] = field(default_factory=dict)
    vaults: Mapping[str, Vault] = field(default_factory=dict)
    views: dict[int, tuple[object, Settled]] = field(default_factory=dict)

    def engine(self, zone: str) -> Engine:
        """The engine of the zone. Raises OperationFailureException if there is none any more."""
        try:
            return self.engines[zone]
        except ZoneAbsentError as error:
            raise OperationFailureException(
                f"You can't do this right now: {error}.", "ZoneNotServed"
            ) from None

    def server(self, region: str) -> SnapshotServer:
        return self.servers.get(region, NoServer())

    def check_room(self, takes: Collection[Takes], region: str) -> None:
        """Raise DiskFullError unless there is more than the margin of all that is taken."""
        uses = {Takes.DISKS: DISKS, Takes.IMAGE_FILES: IMAGE_FILES, Takes.VAULT: of_vault(region)}
        self.rooms.check(*(uses[one] for one in takes))

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


@dataclass(frozen=True, slots=True)
class Call:
    """One request for one operation, with its input."""

    context: Context
    operation: str
    params: Params

    @property
    def region(self) -> str:
        return self.context.region

    @property
    def digest(self) -> str:
        """Alike for alike inputs."""
        text = json.dumps([self.region, self.params], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def remember(self, backend: Backend, transaction: Transaction, result: Result) -> Result:
        """Keep the result within the transaction that makes it true, and return it."""
        if self.context.invocation_id is not None:
            now = backend.clock.now_ms()
            transaction.answers.remember(
                self.context.caller,
                self.context.invocation_id,
                operation=self.operation,
                digest=self.digest,
                answer=json.dumps(result),
                now_ms=now,
                forget_before_ms=now - ANSWERS_KEPT_MS,
            )
        return result

    def recall(self, backend: Backend) -> Result | None:
        """The result of an earlier try of this very call, if there was one."""
        if self.context.invocation_id is None:
            return None
        with backend.catalog.read() as transaction:
            answer = transaction.answers.find(
                self.context.caller, self.context.invocation_id, self.operation, self.digest
            )
        return None if answer is None else dict(json.loads(answer))
