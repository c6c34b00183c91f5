"""Which vault is a region's, according to the catalog: opened, adopted, or created."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from mooring.catalog.connections import MEMORY
from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError, VaultAwayError
from mooring.model.paths import Paths
from mooring.vault.memory_vaults import MemoryVaults
from mooring.vault.region_vaults import RegionVaults
from mooring.vault.store.place import spelling
from mooring.wiring.vaults import (
    make_vault,
    open_store,
    open_vault_in,
    replica_place,
    vault_place,
)

if TYPE_CHECKING:
    from mooring.vault.vault import Vault


def vaults_of(settings: Settings, catalog: Catalog, clock: Clock) -> RegionVaults | MemoryVaults:
    """The vaults of all regions; in memory where both disks and catalog are."""
    if settings.engine.kind == "memory" and settings.catalog == MEMORY:
        return MemoryVaults(settings.regions, clock)
    return region_vaults(settings, catalog, clock)


def region_vaults(settings: Settings, catalog: Catalog, clock: Clock) -> RegionVaults:
    """The vaults of all regions, none of them opened. Raises ConfigurationError."""
    check_places(settings)
    return RegionVaults(
        {region: region_opener(settings, region, catalog, clock) for region in settings.regions}
    )


def region_opener(
    settings: Settings, region: str, catalog: Catalog, clock: Clock
) -> Callable[[], Vault]:
    """What opens the region's vault."""
    return partial(open_known_vault, settings, region, catalog, clock)


def open_known_vault(settings: Settings, region: str, catalog: Catalog, clock: Clock) -> Vault:
    """Open the vault that the catalog knows; make it if neither it nor its snapshots are known.

    Raises VaultAwayError if it is not there, or another one is; StoreError; VaultError.
    """
    from mooring.vault.vault import has_header

    place = vault_place(settings, region)
    with catalog.read() as transaction:
        known = transaction.vaults.of_region(region)
    store = open_store(settings, region)
    if store is None or not has_header(store):
        with catalog.read() as transaction:
            stored = transaction.snapshots.count_rooted(region)
        if known or stored:
            raise VaultAwayError(
                f"the vault of {region} is away: {place} holds none, and it has "
                f"{counted(stored, 'snapshot')}. {_ways_out(region)}"
            )
        vault = make_vault(settings, region, clock)
    else:
        index = Paths(settings.data_directory.absolute()).indexes
        vault = open_vault_in(store, settings, region, clock, create=False, index=index)
    try:
        _admit(catalog, region, place, vault, known)
        if vault.id != known:
            with catalog.write() as transaction:
                transaction.vaults.note(region, vault.id, clock.now_ms())
    except BaseException:
        vault.close()
        raise
    return vault


def _admit(catalog: Catalog, region: str, place: str, vault: Vault, known: str | None) -> None:
    """Raises VaultAwayError unless that is the region's vault, or may become it."""
    if known is None:
        with catalog.read() as transaction:
            stored = transaction.snapshots.rooted(region)
        if stored and not any(vault.has(one.id) for one in stored):
            raise VaultAwayError(
                f"{place} is not the vault of {region}: it has none of "
                f"{counted(len(stored), 'completed snapshot')}. {_ways_out(region)}"
            )
    if known is not None and vault.id != known:
        raise VaultAwayError(
            f"{place} is not the vault of {region}, which is {known}, but another one, "
            f"{vault.id}. {_ways_out(region)}"
        )
    check_owner(catalog, region, place, vault)


def check_owner(catalog: Catalog, region: str, place: str, vault: Vault) -> None:
    """Raises VaultAwayError if it is the vault of another region."""
    with catalog.read() as transaction:
        owner = transaction.vaults.region_of(vault.id)
    if owner not in (None, region):
        raise VaultAwayError(
            f"{place} is the vault of {owner}, so it cannot be that of {region}: set "
            f"regions.{region}.vault to another place"
        )


def _ways_out(region: str) -> str:
    return (
        f"Mount it, or put it back, or set regions.{region}.vault to where it is; if it is lost, "
        f"`mooringd accept --region {region}` continues with what is there, or with a new vault"
    )


def check_places(settings: Settings) -> None:
    """Raises ConfigurationError if two vaults or copies would be in one place."""
    taken: dict[str, str] = {}
    for region in settings.regions:
        places = {f"regions.{region}.vault": vault_place(settings, region)}
        if replica := replica_place(settings, region):
            places[f"regions.{region}.replica"] = replica
        for name, place in places.items():
            real = spelling(place)
            if real in taken:
                raise ConfigurationError(
                    f"{name} and {taken[real]} are both {place}: give each region's vault, and "
                    "each copy, its own place"
                )
            taken[real] = name
