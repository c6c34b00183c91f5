"""Which file systems the settings have a server use, and for what."""

from __future__ import annotations

from pathlib import Path

from mooring.config.settings import Settings
from mooring.host.reserve import Reserve
from mooring.host.room import MIB
from mooring.host.rooms import DISKS, EXPORTS, Rooms, of_vault
from mooring.model.paths import Paths
from mooring.vault.layout import HEADER_NAME
from mooring.vault.store.place import is_bucket
from mooring.wiring.vaults import replica_place, vault_place

VAULT_RESERVE_BYTES = 2 * MIB
"""For a collection's claim and its lists of what it takes away."""

COPY_OF = "copy of the "
"""Comes before the use of a vault for that of its copy."""


def file_systems(settings: Settings, paths: Paths) -> Rooms:
    """The room for each use; buckets have no end."""
    places = {
        "data directory": paths.data,
        DISKS: paths.zones,
        "run directory": paths.run,
        EXPORTS: exports_directory(settings, paths),
    }
    if settings.audit.enabled:
        places["audit log"] = audit_file(settings, paths)
    for region in settings.regions:
        for use, place in (
            (of_vault(region), vault_place(settings, region)),
            (COPY_OF + of_vault(region), replica_place(settings, region)),
        ):
            if place and not is_bucket(place):
                places[use] = Path(place)
    reserves = {
        use: Reserve(path / ".reserve", VAULT_RESERVE_BYTES, beside=HEADER_NAME)
        for use, path in places.items()
        if use.startswith(of_vault(""))
    }
    return Rooms(places, settings.room.margin_mib * MIB, reserves)


def audit_file(settings: Settings, paths: Paths) -> Path:
    """Where the audit log is."""
    file = Path(settings.audit.file).expanduser() if settings.audit.file else paths.audit
    return file.absolute()


def exports_directory(settings: Settings, paths: Paths) -> Path:
    """Where images of snapshots go."""
    return Path(settings.exports).expanduser().absolute() if settings.exports else paths.exports
