"""mooringd accept: continue with whatever vault is in a region's place."""

from __future__ import annotations

from mooring.admin.vaults.chosen import regions
from mooring.config.settings import Settings
from mooring.jobs.roots import compare, record
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.resources.snapshot import Lost
from mooring.wiring.catalogs import catalog_at_hand
from mooring.wiring.region_vaults import check_owner, check_places
from mooring.wiring.vaults import make_vault, open_vault, vault_place


def accept(settings: Settings, region: str) -> int:
    """Make what is there the region's vault, or a new one where nothing is.

    Snapshots that it lacks are `error` from then on, and collection continues without them; should
    their roots come back, they are completed again. A running server takes it up by itself.
    Raises ConfigurationError, VaultError; VaultAwayError if it is the vault of another region.
    """
    regions(settings, region)
    check_places(settings)
    clock = SystemClock()
    with catalog_at_hand(settings) as catalog:
        if catalog is None:
            raise ConfigurationError(
                f"there is no catalog in {settings.data_directory} that knows a vault: `mooringd "
                "serve` uses whatever vault is there, or creates one"
            )
        place = vault_place(settings, region)
        vault = open_vault(settings, region)
        made = vault is None
        with vault or make_vault(settings, region, clock) as opened:
            check_owner(catalog, region, place, opened)
            found = compare(catalog, region, opened)
            with catalog.write() as transaction:
                transaction.vaults.note(region, opened.id, clock.now_ms())
                record(transaction, found, Lost.GIVEN_UP)
            what = "a new vault" if made else "the vault"
            print(f"{region}: {what} {opened.id} in {place} is now its vault")
    for one in found.missing:
        print(f"  {one.name} of disk {one.disk_name} ({one.id}) is not in it")
    for one in found.returned:
        print(f"  {one.name} of disk {one.disk_name} ({one.id}) is in it again")
    return 0
