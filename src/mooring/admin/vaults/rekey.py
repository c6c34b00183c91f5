"""mooringd rekey: change what opens a sealed vault."""

from __future__ import annotations

from mooring.admin.vaults.chosen import nothing_there, regions
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.vault.store.place import read_secret
from mooring.vault.vault import change_secret
from mooring.wiring.vaults import open_store


def rekey(settings: Settings, *, region: str, new_key_file: str) -> int:
    """Wrap the vault's key with the new secret; no data is read or written.

    Raises ConfigurationError, WrongKeyError; nothing is changed then.
    """
    regions(settings, region)
    old_key_file = settings.regions[region].key_file
    if not old_key_file:
        raise ConfigurationError(
            f"regions.{region}.key_file is not set: it must name the present key file"
        )
    store = open_store(settings, region)
    if store is None:
        raise nothing_there(settings)
    change_secret(store, read_secret(old_key_file), read_secret(new_key_file))
    print(
        f"{region}: the vault opens with {new_key_file} now; set regions.{region}.key_file to it "
        "before the server starts again. Copies of the vault made before open with the old one."
    )
    return 0
