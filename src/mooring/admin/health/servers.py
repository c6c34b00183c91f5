"""Whether the servers of a catalog that several can use are heard of."""

from __future__ import annotations

from collections.abc import Iterator

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.resources.server import SeenServer
from mooring.wiring.catalogs import catalog_at_hand


def server_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether each server is well, and what is known of it; nothing for a catalog in a file."""
    try:
        with catalog_at_hand(settings) as catalog:
            if catalog is None or not catalog.is_for_many:
                return
            with catalog.read() as transaction:
                servers = transaction.servers.all(SystemClock().now_ms())
    except ConfigurationError:
        return  # which is told with all else
    for one in servers:
        yield _finding(one)


def _finding(one: SeenServer) -> tuple[bool, str]:
    server = one.server
    lanes = ", ".join(f"{threads} {name}" for name, threads in server.lanes.items())
    who = f"server {server.name} on {server.host} (Mooring {server.version}; jobs: {lanes})"
    ago = _duration(one.silent_ms)
    if one.ended:
        return True, f"{who}: ended {ago} ago"
    if not one.is_silent:
        return True, f"{who}: runs, heard of {ago} ago"
    return False, (
        f"{who}: not heard of for {ago}. Start it again, or see what keeps it from the database; "
        "others take its jobs over meanwhile, and it is forgotten after a week"
    )


def _duration(milliseconds: int) -> str:
    seconds = max(0, milliseconds) // 1000
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * size:
            return counted(seconds // size, unit)
    return counted(seconds, "second")
