"""mooringd usage: what each snapshot takes alone, and what it shares."""

from __future__ import annotations

import json
import sys
from typing import Any

from mooring.admin.vaults.chosen import opened
from mooring.config.settings import Settings
from mooring.model.amounts import amount
from mooring.model.counts import counted
from mooring.streams import one_line
from mooring.vault.vault import SnapshotInfo, Usage

HEADINGS = ("SNAPSHOT", "DISK", "SIZE", "ALONE", "SHARED", "FULL COPY")


def usage(settings: Settings, *, region: str | None = None, as_json: bool = False) -> int:
    """Print a table for each vault, or all as one JSON object. Raises DamageError.

    Snapshots whose roots cannot be read are named on standard error; returns 1 if there are any.

    ALONE is what deleting this one snapshot would free, SHARED what other snapshots need too,
    FULL COPY what of the disk is not zeros.
    """
    told: dict[str, Any] = {}
    unreadable = 0
    with opened(settings, region) as vaults:
        for place, vault in vaults:
            roots, left_out = vault.readable_roots()
            infos = {root.id: root.info for root in roots}
            known = (one for one in vault.usage() if one.snapshot_id in infos)
            rows = [_row(infos[one.snapshot_id], one) for one in known]
            rows.sort(key=lambda row: (row["diskName"], row["createdAt"]))
            sums = {key: sum(row[key] for row in rows) for key in _SUMMED}
            told[place] = {"snapshots": rows, **sums}
            if not as_json:
                _print_table(place, rows, sums)
            unreadable += len(left_out)
            for snapshot_id, problem in left_out.items():
                print(f"{place}: skipped: {snapshot_id}: {problem}", file=sys.stderr)
    if as_json:
        print(json.dumps(told, indent=2))
    return int(unreadable > 0)


_SUMMED = ("aloneBytes", "fullCopyBytes")


def _row(info: SnapshotInfo, one: Usage) -> dict[str, Any]:
    return {
        "diskSnapshotName": info.name,
        "id": info.id,
        "diskName": info.disk_name,
        "createdAt": info.created_ms / 1000,
        "sizeInBytes": info.size,
        "aloneBytes": one.unique_bytes,
        "sharedBytes": one.shared_bytes,
        "fullCopyBytes": one.logical_bytes,
    }


def _print_table(place: str, rows: list[dict[str, Any]], sums: dict[str, int]) -> None:
    count = counted(len(rows), "snapshot")
    print(f"{place}: {count}; full copies: {amount(sums['fullCopyBytes'])}")
    cells = [
        (
            one_line(row["diskSnapshotName"]),
            one_line(row["diskName"]),
            *(amount(row[key]) for key in ("sizeInBytes", "aloneBytes")),
            *(amount(row[key]) for key in ("sharedBytes", "fullCopyBytes")),
        )
        for row in rows
    ]
    if rows:
        _print([HEADINGS, *cells])


def _print(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        sizes = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        print("  " + "  ".join(names + sizes))
