"""Comparing catalog and vault, for commands that look or delete."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from mooring.catalog.database import CATALOG_ERRORS
from mooring.catalog.watching.vault_runs import VaultRun
from mooring.config.settings import Settings
from mooring.jobs.roots import compare, expected_roots, rooted
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError, VaultError
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.vault.vault import Vault
from mooring.wiring.catalogs import catalog_at_hand


def differences(
    settings: Settings,
    region: str,
    vault: Vault,
    of: Callable[[DiskSnapshot], bool] | None = None,
    tell: Callable[[str], object] | None = None,
) -> list[str]:
    """How the vault differs from what the catalog says, a sentence each; nothing without one.

    `of`: which snapshots are asked for, by default all. What only the vault knows is no error:
    `tell` is told of it.

    Raises VaultError.
    """
    with catalog_at_hand(settings) as catalog:
        if catalog is None:
            return []
        with catalog.read() as transaction:
            known = transaction.vaults.of_region(region)
        if known not in (None, vault.id):
            return [
                f"the vault there is not that of {region}, which is {known}, but another one, "
                f"{vault.id}: put the right one back, or continue with this one with "
                f"`mooringd accept --region {region}`"
            ]
        found = compare(catalog, region, vault)
        if of is not None:
            missing = [one for one in found.missing if of(one)]
            found = replace(found, missing=missing, older=False)
        elif (strangers := found.strangers(region)) and tell is not None:
            tell(strangers)
        return found.told(region)


def expected(settings: Settings, region: str, vault: Vault) -> list[str]:
    """The snapshots without whose roots nothing may be collected; none without a catalog.

    Raises VaultError if it is another vault than the catalog's.
    """
    with catalog_at_hand(settings) as catalog:
        if catalog is None:
            return []
        with catalog.read() as transaction:
            known = transaction.vaults.of_region(region)
        if known not in (None, vault.id):
            raise VaultError(
                f"the vault there is not that of {region}, {known}, but {vault.id}: nothing is "
                "deleted in it"
            )
        return expected_roots(catalog, region)


def known_snapshots(settings: Settings, region: str) -> list[str]:
    """The snapshots that the catalog has in the region's vault, or had; none without a catalog."""
    with catalog_at_hand(settings) as catalog:
        return [] if catalog is None else rooted(catalog, region)


def missing_vault(settings: Settings, region: str) -> str | None:
    """What is wrong if a region has no vault in its place; None if that is as it should be."""
    try:
        with catalog_at_hand(settings) as catalog:
            if catalog is None:
                return None
            with catalog.read() as transaction:
                known = transaction.vaults.of_region(region)
                count = transaction.snapshots.count_rooted(region)
    except ConfigurationError:
        # Whoever looks at the catalog itself tells.
        return None
    if known is None and not count:
        return None
    return (
        f"is away, with {counted(count, 'snapshot')} in it: mount it, put it back, or set "
        f"regions.{region}.vault to where it is; if it is lost, `mooringd accept --region "
        f"{region}` creates a new one"
    )


def copy_known(settings: Settings, region: str, place: str) -> str | None:
    """Which vault that place had a whole copy of; None if it had none, or nothing is known."""
    try:
        with catalog_at_hand(settings) as catalog:
            if catalog is None:
                return None
            with catalog.read() as transaction:
                return transaction.vaults.of_copy(region, place)
    except ConfigurationError:
        # Whoever looks at the catalog itself tells.
        return None


def note_copy(settings: Settings, region: str, place: str, vault: Vault) -> None:
    """Remember, if there is a catalog, that the place has a whole copy of the vault."""
    with catalog_at_hand(settings) as catalog:
        if catalog is not None:
            with catalog.write() as transaction:
                transaction.vaults.note_copy(region, place, vault.id, SystemClock().now_ms())


def note_run(settings: Settings, vault: Vault, run: VaultRun) -> None:
    """Remember, if there is a catalog of this vault, how a run of a command ended.

    So the server tells of it as of its own runs. Who may only read is told that it does not.
    """
    try:
        with catalog_at_hand(settings) as catalog:
            if catalog is None:
                return
            with catalog.read() as transaction:
                known = transaction.vaults.of_region(run.region)
            if known != vault.id:
                return
            with catalog.write() as transaction:
                before = transaction.vault_runs.of(run.region, run.kind)
                transaction.vault_runs.put(run.after(before, vault.has))
    except (ConfigurationError, *CATALOG_ERRORS) as error:
        print(
            f"mooringd: {run.region}: the server will not know of this: the catalog cannot be "
            f"changed ({type(error).__name__})",
            file=sys.stderr,
        )
