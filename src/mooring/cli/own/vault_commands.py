"""mooring diff and mooring usage: what changed, and what snapshots take."""

from __future__ import annotations

import json
import sys

from mooring.cli import operation, style
from mooring.cli.help import pages as help_pages
from mooring.cli.input import parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mooring.cli.connection.client import Client
    from mooring.cli.connection.session import Session
    from mooring.cli.options import Options
    from mooring.protocol.service_model import ServiceModel

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_HEADINGS = ("SNAPSHOT", "DISK", "SIZE", "ALONE", "SHARED", "FULL COPY")


def run_diff(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run `mooring diff` with the arguments in `rest`; the exit code is returned."""
    if rest and rest[-1] in {"help", "--help", "-h"}:
        return _diff_help()
    arguments = parser.Parser()
    arguments.add_argument("--to", required=True)
    arguments.add_argument("--from", dest="since")
    parsed = arguments.parse_all(rest)
    client = _client(model, options, session)
    members = {"diskSnapshotName": parsed.to}
    if parsed.since is not None:
        members["fromDiskSnapshotName"] = parsed.since
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


def run_usage(model: ServiceModel, rest: list[str], options: Options, session: Session) -> int:
    """Run `mooring usage` with the arguments in `rest`; the exit code is returned."""
    if rest and rest[-1] in {"help", "--help", "-h"}:
        return _usage_help()
    arguments = parser.Parser()
    arguments.add_argument("--json", dest="as_json", action="store_true")
    parsed = arguments.parse_all(rest)
    client = _client(model, options, session)
    told = client.ask("usage", {}, "the usage", ("snapshots",))
    if parsed.as_json:
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    rows = [_HEADINGS, *(_cells(row) for row in told["snapshots"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        sizes = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        sys.stdout.write("  ".join(names + sizes) + "\n")
    return 0


def _client(model: ServiceModel, options: Options, session: Session) -> Client:
    v2 = style.is_v2(session.environ, session)
    return operation.open_client(model, options, session, lambda value: value, v2)


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


def _diff_help() -> int:
    return help_pages.show_own(
        "diff - tell what changed between two snapshots",
        "mooring diff [--from <string>] --to <string>",
        [
            "Prints one JSON object with the ranges of the disk, in bytes, that the newer snapshot "
            "has otherwise than the first; `zero` says that a range reads as zeros now. It takes a "
            "time that follows from the number of changes, not from the size of the disk.",
            "Automatic snapshots are DISK@latest, DISK@yesterday, or DISK@ and the moment, as "
            "`mooring usage` shows it.",
            "What was written again with the content that it had may be among the ranges. "
            "--query and --output do not apply.",
        ],
        {
            "--from <string>": "The older snapshot. Default: a disk of zeros.",
            "--to <string>": "The newer snapshot.",
        },
    )


def _usage_help() -> int:
    return help_pages.show_own(
        "usage - tell what snapshots take",
        "mooring usage [--json]",
        [
            "Lists the completed snapshots of the region. ALONE is what deleting this one would "
            "free, SHARED what other snapshots need too, FULL COPY what it would take without "
            "Mooring: all of the disk that is not zeros. Stored sizes are after compression.",
            "What two snapshots share is freed only when both are gone.",
        ],
        {"--json": "Print JSON, in bytes."},
    )
