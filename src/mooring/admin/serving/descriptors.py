"""File descriptors: as many as the limits need, or a warning."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger("mooring.server")

OWN = 1024
"""What a server needs beside its clients' connections: the catalog, vaults, daemons, jobs."""


def raise_limit(connections: int) -> int:
    """Let this process open what so many connections and the rest need; returns what it may.

    What it starts inherits the limit. If the system allows less than is needed, that is logged.
    """
    wanted = connections + OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning(
            "file descriptors may not suffice",
            allowed=allowed,
            needed=wanted,
            way_out="raise the hard limit (ulimit -Hn, or LimitNOFILE in the unit), or lower "
            "limits.connections",
        )
    return allowed
