"""Whether servers of a shared catalog are heard of, and reach it well."""

from __future__ import annotations

from collections.abc import Iterator

from mooring.admin.health.durations import duration
from mooring.backend.cluster_key import read_cluster_key
from mooring.catalog.database import Catalog
from mooring.catalog.way import Way
from mooring.config.settings import Settings
from mooring.config.shared import differences
from mooring.jobs.watching.waiting_jobs import waiting_for
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.model.resources.server import SeenServer
from mooring.wiring.catalogs import catalog_at_hand

FAR_APART_MS = 5_000
"""Clocks of hosts that something sets are apart by less."""

Finding = tuple[bool, str]


def server_findings(settings: Settings) -> Iterator[Finding]:
    """Whether each server is well, and what is known of it; nothing for a catalog in a file."""
    try:
        with catalog_at_hand(settings) as catalog:
            if catalog is None or not catalog.is_for_many:
                return
            yield from _of_key(settings)
            yield from _of_way(catalog.way(), SystemClock().now_ms())
            yield from _of_servers(catalog, settings)
    except ConfigurationError:
        return  # which is told with all else


def _of_key(settings: Settings) -> Iterator[Finding]:
    """Whether others can read the cluster's key, which a server refuses at its next start."""
    try:
        read_cluster_key(Paths(settings.data_directory).cluster_key)
    except ConfigurationError as error:
        yield False, str(error)


def _of_way(way: Way, now_ms: int) -> Iterator[Finding]:
    """How the database is reached, given this host's time."""
    if way.problem is not None:
        yield False, way.problem
    elif way.local:
        yield True, "database: on this machine"
    elif way.verified:
        yield True, "database: reached with TLS, its certificate is checked"
    else:
        yield (
            True,
            (
                f"database: reached with TLS, but by sslmode={way.mode} whoever is on the way "
                "could take its place: add sslmode=verify-full and sslrootcert to its URL"
            ),
        )
    apart = now_ms - way.now_ms
    if abs(apart) > FAR_APART_MS:
        which = "ahead of" if apart > 0 else "behind"
        yield (
            False,
            (
                f"this host's clock is {counted(abs(apart) // 1000, 'second')} {which} the "
                "database's: set the one that is wrong (timedatectl set-ntp true)"
            ),
        )


def _of_servers(catalog: Catalog, settings: Settings) -> Iterator[Finding]:
    with catalog.read() as transaction:
        servers = transaction.servers.all(SystemClock().now_ms())
        shared = transaction.shared_settings.all()
        waiting = {one.server.id: waiting_for(transaction, one.server) for one in servers}
    for one in servers:
        yield _finding(one, waiting[one.server.id])
    if sum(not one.ended for one in servers) > 1:
        for difference in differences(settings, shared):
            yield False, str(difference)


def _finding(one: SeenServer, waiting: str) -> Finding:
    server = one.server
    lanes = ", ".join(f"{threads} {name}" for name, threads in server.lanes.items())
    who = f"server {server.name} on {server.host} (Mooring {server.version}; jobs: {lanes})"
    ago = duration(one.silent_ms)
    if one.ended:
        return True, f"{who}: ended {ago} ago{waiting}"
    if not one.is_silent:
        return True, f"{who}: runs, heard of {ago} ago"
    return False, (
        f"{who}: not heard of for {ago}. Start it again, or see what keeps it from the database; "
        f"others take its jobs over meanwhile, and it is forgotten after a week{waiting}"
    )
