"""mooring diff and mooring usage: what changed, and what snapshots take."""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from mooring.cli.own.invocation import Invocation

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_HEADINGS = ("SNAPSHOT", "DISK", "SIZE", "ALONE", "SHARED", "FULL COPY")


def run_diff(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring diff`; the exit code is returned."""
    client = invocation.client()
    members = {"diskSnapshotName": parsed.new}
    if parsed.old is not None:
        members["fromDiskSnapshotName"] = parsed.old
    page = client.ask("diff", members, "the changes", ("from", "to", "sizeInBytes", "extents"))
    # Written as it comes: there may be more ranges than fit in memory.
    head = {key: page[key] for key in ("from", "to", "sizeInBytes")}
    sys.stdout.write(json.dumps(head, indent=2)[:-2] + ',\n  "extents": [')
    changed = 0
    separator = ""
    while True:
        for extent in page["extents"]:
            sys.stdout.write(f"{separator}\n    {json.dumps(extent)}")
            separator = ","
            changed += extent["length"]
        if page.get("nextOffset") is None:
            break
        members["startOffset"] = str(page["nextOffset"])
        page = client.ask("diff", members, "the changes", ("extents",))
    sys.stdout.write("\n  ],\n" if separator else "],\n")
    sys.stdout.write(f'  "changedBytes": {changed}\n}}\n')
    return 0


def run_usage(invocation: Invocation, parsed: Namespace) -> int:
    """Run `mooring usage`; the exit code is returned."""
    client = invocation.client()
    told: dict[str, Any] = {"snapshots": []}
    members: dict[str, str] = {}
    while True:
        page = client.ask("usage", members, "the usage", ("snapshots",))
        told["snapshots"] += page["snapshots"]
        if page.get("nextPageToken") is None:
            break
        members = {"pageToken": page["nextPageToken"]}
    told["snapshots"].sort(key=lambda row: (row["diskName"], row["createdAt"]))
    if parsed.json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    rows = [_HEADINGS, *(_cells(row) for row in told["snapshots"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        sizes = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        sys.stdout.write("  ".join(names + sizes) + "\n")
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    sizes = ("sizeInBytes", "aloneBytes", "sharedBytes", "fullCopyBytes")
    return (row["diskSnapshotName"], row["diskName"], *(amount(row[key]) for key in sizes))


def amount(size: int) -> str:
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"
