"""The hosts of a catalog: a list for people, and what doctor finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mooring.admin.health.durations import duration
from mooring.admin.running_server import find_server
from mooring.catalog.transaction import Transaction
from mooring.config.settings import Settings
from mooring.model.amounts import amount
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.model.resources.host import SeenHost
from mooring.wiring.catalogs import catalog_at_hand

_HEAD = ("name", "state", "zones", "disks", "instances", "room", "version", "last seen", "address")


@dataclass(frozen=True, slots=True)
class _Told:
    """A host with what it has."""

    seen: SeenHost
    disks: int
    instances: int


def hosts(settings: Settings) -> int:
    """Print a table of the hosts. Raises ConfigurationError."""
    found, many = _hosts(settings)
    if not found:
        print("No host has used this catalog yet: start one with `mooringd serve`.")
        return 0
    runs = many or find_server(Paths(settings.data_directory).server) is not None
    rows = [_HEAD, *(_row(one, many=many, runs=runs) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    sys.stdout.flush()
    return 0


def host_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether each host can be heard, if there are several; and the way out if not."""
    try:
        found, many = _hosts(settings)
    except ConfigurationError:
        return  # which is told with all else
    for one in found if many else ():
        problem = one.seen.problem
        if problem is not None and (one.disks or one.instances):
            yield False, f"host {one.seen.host.name}: {problem}"


def _hosts(settings: Settings) -> tuple[list[_Told], bool]:
    """The hosts, and whether there can be several."""
    with catalog_at_hand(settings) as catalog:
        if catalog is None:
            return [], False
        with catalog.read() as transaction:
            told = [
                _Told(one, *_counts(one, transaction, many=catalog.is_for_many))
                for one in transaction.hosts.all(SystemClock().now_ms())
            ]
        return told, catalog.is_for_many


def _counts(one: SeenHost, transaction: Transaction, *, many: bool) -> tuple[int, int]:
    # In a file all are on the only host, and say so by naming none.
    host = one.host.id if many else ""
    return transaction.hosts.count_disks(host), transaction.hosts.count_instances(host)


def _row(one: _Told, *, many: bool, runs: bool) -> tuple[str, ...]:
    seen = one.seen
    return (
        seen.host.name,
        seen.shown if runs or not seen.is_up else "not running",
        ", ".join(seen.host.zones) or "none",
        str(one.disks),
        str(one.instances),
        f"{amount(seen.free_bytes)} of {amount(seen.capacity_bytes)}",
        seen.host.version,
        f"{duration(seen.silent_ms)} ago" if many else "",
        seen.host.address,
    )
