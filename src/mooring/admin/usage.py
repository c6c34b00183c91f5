"""mooringd usage: what each snapshot takes alone, and what it shares."""

from __future__ import annotations

from mooring.admin.amounts import amount
from mooring.admin.vaults import opened
from mooring.config import Settings
from mooring.model.errors import SnapshotNotInVaultError
from mooring.vault.usage import Usage
from mooring.vault.vault import Vault

HEADINGS = ("SNAPSHOT", "DISK", "SIZE", "ALONE", "SHARED")


def usage(settings: Settings, *, region: str | None = None) -> int:
    """Print a table for each vault. Raises DamageError.

    ALONE is what deleting this one snapshot would free, SHARED what other snapshots need too.
    """
    with opened(settings, region) as vaults:
        for place, vault in vaults:
            rows = [row for one in vault.usage() if (row := _row(vault, one)) is not None]
            rows.sort()
            print(f"{place}: {len(rows)} snapshots")
            if rows:
                _print([HEADINGS, *(cells for _, cells in rows)])
    return 0


def _row(vault: Vault, one: Usage) -> tuple[tuple[str, int], tuple[str, ...]] | None:
    try:
        info = vault.root(one.snapshot_id).info
    except SnapshotNotInVaultError:
        return None
    cells = (
        info.name,
        info.disk_name,
        amount(info.size),
        amount(one.unique_bytes),
        amount(one.shared_bytes),
    )
    return (info.disk_name, info.created_ms), cells


def _print(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        sizes = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        print("  " + "  ".join(names + sizes))
