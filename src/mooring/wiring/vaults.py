"""Opening the vaults that the settings name, for the server and for commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.config.settings import Settings
from mooring.model.clock import Clock, SystemClock
from mooring.model.paths import Paths
from mooring.vault.store.place import Store, is_bucket, is_missing, open_place, read_secret

if TYPE_CHECKING:
    from mooring.vault.vault import Replica, Vault


def open_store(settings: Settings, region: str) -> Store | None:
    """Open what is under a region's vault, for what needs no key; None if nothing is there yet."""
    from mooring.vault.vault import has_header

    place = vault_place(settings, region)
    if is_missing(place):
        return None
    store = open_place(place, s3_options(settings))
    return store if has_header(store) or next(store.names(""), None) is not None else None


def open_vault(settings: Settings, region: str) -> Vault | None:
    """Open a region's vault beside whatever server there is; None if none was made yet."""
    store = open_store(settings, region)
    if store is None:
        return None
    return open_vault_in(store, settings, region, SystemClock(), create=False, index=None)


def make_vault(settings: Settings, region: str, clock: Clock) -> Vault:
    """Open a region's vault for the server; make it if there is none."""
    store = open_place(vault_place(settings, region), s3_options(settings))
    index = Paths(settings.data_directory.absolute()).indexes
    return open_vault_in(store, settings, region, clock, create=True, index=index)


def open_vault_in(
    store: Store, settings: Settings, region: str, clock: Clock, *, create: bool, index: Path | None
) -> Vault:
    """Open the vault in a store, or a copy of it, with the key of the region."""
    from mooring.vault.vault import Vault, VaultOptions

    file = settings.regions[region].key_file
    options = VaultOptions(
        level=settings.vault.level,
        threads=settings.vault.threads or os.cpu_count() or 1,
        nice=settings.vault.nice,
        index=index,
        index_bytes=settings.vault.index_mib * 1024 * 1024,
        bytes_per_second=settings.vault.upload_mib_per_second * 1024 * 1024,
        consolidate_frames=settings.vault.consolidate_frames,
    )
    secret = read_secret(file) if file else None
    return Vault.create_or_open(store, clock, options, create=create, secret=secret)


def vault_place(settings: Settings, region: str) -> str:
    """Where a region's vault is: the path of a directory, or the address of a bucket."""
    place = settings.regions[region].vault
    return full_place(place) or str(Paths(settings.data_directory.absolute()).vault(region))


def replica_place(settings: Settings, region: str) -> str:
    """Where the copy of a region's vault is; empty if none is to be kept."""
    return full_place(settings.regions[region].replica)


def full_place(place: str) -> str:
    """The address of a bucket as it is; the path of a directory in full; empty stays empty."""
    if not place or is_bucket(place):
        return place
    return str(Path(place).expanduser().absolute())


def replicas(settings: Settings) -> dict[str, Replica]:
    """Where copies of vaults are kept, by region."""
    places = {region: replica_place(settings, region) for region in settings.regions}
    if not any(places.values()):
        return {}
    from mooring.vault.vault import Replica

    follow = settings.vault.replica_deletions == "follow"
    return {
        region: Replica(place=place, options=s3_options(settings), delete=follow)
        for region, place in places.items()
        if place
    }


def s3_options(settings: Settings) -> dict[str, str]:
    """The settings of the service that holds the buckets, as S3Store takes them."""
    chosen = {"endpoint": settings.s3.endpoint, "region": settings.s3.region}
    return {name: value for name, value in chosen.items() if value}
