"""Which file systems the settings have a server use, and for what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mooring.config.settings import Settings
from mooring.host.mount_points import MountPoints
from mooring.host.reserve import Reserve
from mooring.host.room import MIB
from mooring.host.rooms import DISKS, IMAGE_FILES, Rooms, of_copy, of_vault, of_zone
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.vault.store.place import directory_of
from mooring.wiring.catalog_copies import catalog_copies_directory, catalog_file
from mooring.wiring.vaults import replica_place, vault_place

VAULT_RESERVE_BYTES = 2 * MIB
"""For a collection's claim and its lists of what it removes."""

CATALOG, CATALOG_COPIES, AUDIT_LOG = "catalog", "copies of the catalog", "audit log"


def no_vault(_region: str) -> bool:
    """Whether a vault can be written to: for those who set nothing aside in any."""
    return False


def file_systems(
    settings: Settings, paths: Paths, may_write: Callable[[str], bool] = no_vault
) -> Rooms:
    """The room for each use; buckets have no end.

    `may_write` says whether a region's vault is there, is the right one, and can be written to:
    only then is something set aside, or given up, in its place.
    """
    places = {
        "data directory": paths.data,
        DISKS: paths.zones,
        "run directory": paths.run,
        IMAGE_FILES: image_files_directory(settings, paths),
    }
    mounts = MountPoints(paths.mount_points)
    mounted = [DISKS, IMAGE_FILES]
    for one in settings.regions.values():
        for zone in one.zones:
            if mounts.differ(paths.zones, paths.engine(zone)):
                places[of_zone(zone)] = paths.engine(zone)
                mounted.append(of_zone(zone))
    if (catalog := catalog_file(settings, paths)) is not None:
        if settings.catalog:
            places[CATALOG] = catalog.parent
        if settings.catalog_copies.keep:
            places[CATALOG_COPIES] = catalog_copies_directory(settings, paths)
    if settings.audit.enabled:
        places[AUDIT_LOG] = audit_file(settings, paths)
    mounted += [CATALOG, CATALOG_COPIES, AUDIT_LOG]
    reserves = {}
    for region in settings.regions:
        for use, place in (
            (of_vault(region), vault_place(settings, region)),
            (of_copy(region), replica_place(settings, region)),
        ):
            if place and (directory := directory_of(place)) is not None:
                places[use] = directory
        if path := places.get(of_vault(region)):
            reserves[of_vault(region)] = Reserve(
                path / ".reserve", VAULT_RESERVE_BYTES, ours=partial(may_write, region)
            )
    return Rooms(places, settings.room.margin_mib * MIB, reserves, mounts, mounted)


def check_mounted(rooms: Rooms) -> None:
    """Raise ConfigurationError if that is away without which a server must not start.

    What it would make instead, in the mount point, would know nothing of what there is.
    """
    for use, problem in rooms.away().items():
        if use == CATALOG or use.startswith(DISKS):
            raise ConfigurationError(problem)


def catalog_reserve(settings: Settings, paths: Paths, reserve: Reserve) -> Reserve | None:
    """The reserve for the catalog's file: `reserve`, that of the data directory, or one beside the
    file where that is on another file system. None if the catalog is in another database."""
    file = catalog_file(settings, paths)
    if file is None or not file.parent.is_dir():
        return None
    if file.parent.stat().st_dev == reserve.path.parent.stat().st_dev:
        return reserve
    return Reserve(file.with_name(f"{file.name}-reserve"))


def audit_file(settings: Settings, paths: Paths) -> Path:
    """Where the audit log is."""
    file = Path(settings.audit.file).expanduser() if settings.audit.file else paths.audit
    return file.absolute()


def image_files_directory(settings: Settings, paths: Paths) -> Path:
    """Where ExportSnapshot writes."""
    return Path(settings.exports).expanduser().absolute() if settings.exports else paths.image_files
