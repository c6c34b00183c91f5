"""Whether vaults and their copies are present, open, and writable."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mooring.admin.vaults.roots import copy_known, differences, missing_vault
from mooring.config.settings import Settings
from mooring.host.room import room_at
from mooring.model.clock import SystemClock
from mooring.model.errors import (
    ConfigurationError,
    DiskFullError,
    MooringError,
    StoreError,
)
from mooring.model.ids import RandomIds
from mooring.vault.store.place import Store, directory_of, is_missing, open_place
from mooring.vault.store.retrying import Patience
from mooring.vault.vault import Vault, has_header, has_more_than_key
from mooring.wiring.vaults import open_vault_in, replica_place, s3_options, vault_place

PATIENCE = Patience(retry_seconds=5.0)
"""With a service that fails; a server has more."""

_PROBE = "probe-"


def vault_findings(settings: Settings, patience: Patience = PATIENCE) -> Iterator[tuple[bool, str]]:
    """For each vault and copy of the settings: whether all is well, and what was found."""
    for region, one in settings.regions.items():
        place, named = vault_place(settings, region), bool(one.vault)
        yield _examine(settings, region, place, patience, named=named, copy=False)
        if replica := replica_place(settings, region):
            yield _examine(settings, region, replica, patience, named=True, copy=True)


def _examine(
    settings: Settings, region: str, place: str, patience: Patience, *, named: bool, copy: bool
) -> tuple[bool, str]:
    where = f"{'copy of the ' if copy else ''}vault of {region}: {place}"
    if is_missing(place):
        if problem := None if copy else missing_vault(settings, region):
            return False, f"{where} {problem}"
        if copy and copy_known(settings, region, place):
            return False, f"{where} is away: mount it, or put it back"
        if not named:
            return True, f"{where}: not there yet; `mooringd serve` creates it"
        return False, f"{where} is away: mount it, or create the directory for a new one"
    try:
        store = open_place(place, s3_options(settings), patience=patience)
        if not has_header(store):
            if problem := None if copy else missing_vault(settings, region):
                return False, f"{where} {problem}"
            if copy and copy_known(settings, region, place):
                return False, f"{where} is empty, and had a copy: mount it, or put it back"
            if has_more_than_key(store):
                return False, f"{where} is no vault, and not empty: name an empty place"
            return True, f"{where}: still empty"
        clock = SystemClock()
        with open_vault_in(store, settings, region, clock, create=False, index=None) as vault:
            strangers: list[str] = []
            told = [] if copy else _differences(settings, region, vault, strangers.append)
        if told:
            more = f", and {len(told) - 3} more" if len(told) > 3 else ""
            return False, f"{where}: {'; '.join(told[:3])}{more}"
        _write(store)
    except DiskFullError as error:
        return False, f"{where}: {error}"
    except StoreError as error:
        return False, f"{where} cannot be used: {error}"
    except MooringError as error:
        return False, f"{where}: {error}"
    return _room(place, where, strangers)


def _differences(
    settings: Settings, region: str, vault: Vault, tell: Callable[[str], object]
) -> list[str]:
    try:
        return differences(settings, region, vault, tell=tell)
    except ConfigurationError:
        # Of the catalog doctor tells elsewhere.
        return []


def _write(store: Store) -> None:
    """Raises DiskFullError; StoreError, also if the store is read-only."""
    name = _PROBE + RandomIds().new_id()
    try:
        # As roots are written: some file systems can do less than others for that.
        store.put(name, b"mooringd doctor looks whether it can write\n", replace=False)
    finally:
        store.delete(name)


def _room(place: str, where: str, besides: list[str]) -> tuple[bool, str]:
    directory = directory_of(place)
    if directory is None:
        return True, "; ".join([f"{where}: opens, and can be written to", *besides])
    room = room_at(directory)
    text = "; ".join([f"{where}: opens, and can be written to", str(room), *besides])
    if room.is_short:
        return False, f"{text}; free some space, or snapshots will fail"
    return True, text
