"""What a server has left in a data directory in which nothing was made yet."""

from __future__ import annotations

from mooring.catalog.database import Catalog
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths

ASIDE = ".unused"
"""The end of the names that files get which are not needed any more."""


def check_unused(paths: Paths) -> None:
    """Raise ConfigurationError if a server with a catalog of its own has disks or snapshots here.

    A package's server may have been started before anybody thought of others.
    """
    if not paths.catalog.exists():
        return
    catalog = Catalog(f"sqlite:///{paths.catalog}")
    try:
        with catalog.read() as transaction:
            places = transaction.places
            used = bool(places.zones() or places.regions_of_snapshots())
    finally:
        catalog.close()
    if used:
        raise ConfigurationError(
            f"{paths.data} has the disks and the catalog of a server of its own: name another "
            "data directory with --data"
        )


def put_aside(paths: Paths) -> None:
    """Put aside that catalog, and its keys, which nobody has used. Only for who holds `paths`."""
    if not paths.catalog.exists():
        return
    for file in (paths.catalog, paths.credentials):
        if file.exists():
            file.rename(file.with_name(file.name + ASIDE))
    for end in ("-wal", "-shm"):
        paths.catalog.with_name(paths.catalog.name + end).unlink(missing_ok=True)
