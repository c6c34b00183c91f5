"""Whether a database will do for a catalog that servers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mooring.catalog.connections import with_driver
from mooring.catalog.database import Catalog
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.errors import ConfigurationError

MOST_APART_MS = 30_000
"""How far this host's clock may be from the database's. Requests are refused that were signed 5
minutes before or after they come, and claims in vaults go by the clocks of hosts."""


@contextmanager
def database(url: str, *, insecure: bool) -> Iterator[Catalog]:
    """The catalog there, whatever state it is in. Raises ConfigurationError."""
    if not with_driver(url).startswith("postgresql+"):
        raise ConfigurationError(
            "servers share a catalog on PostgreSQL: give its URL, such as "
            "postgresql://mooring@db.example/mooring"
        )
    catalog = Catalog(url)
    try:
        way = catalog.way()
        if way.problem is not None and not insecure:
            raise ConfigurationError(f"{way.problem}. With --insecure it is used all the same")
        apart = SystemClock().now_ms() - way.now_ms
        if abs(apart) > MOST_APART_MS:
            which = "ahead of" if apart > 0 else "behind"
            raise ConfigurationError(
                f"this host's clock is {counted(abs(apart) // 1000, 'second')} {which} the "
                "database's: set the one that is wrong (timedatectl set-ntp true), then try again"
            )
        yield catalog
    finally:
        catalog.close()
