"""Where the catalog is, and where its copies go."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from mooring.catalog.copies import CatalogCopies
from mooring.catalog.database import Catalog
from mooring.catalog.room import CatalogRoom
from mooring.config.settings import Settings
from mooring.host.mount_points import MountPoints
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, PlaceAwayError
from mooring.model.paths import Paths


def open_catalog(
    settings: Settings, paths: Paths, clock: Clock, room: CatalogRoom | None = None
) -> Catalog:
    """The catalog, which is copied before it is migrated. Raises ConfigurationError."""
    file = catalog_file(settings, paths)

    def copy(last: int) -> None:
        if file is None:
            return
        try:
            catalog_copies(settings, paths, clock).make(file, before=last)
        except (OSError, sqlite3.Error, PlaceAwayError) as error:
            raise ConfigurationError(
                f"the catalog {file} must be copied before this program changes it, and cannot be: "
                f"{error}. Free some space, or name another catalog_copies.directory; with "
                "catalog_copies.keep = 0 there are no copies"
            ) from error

    return Catalog(settings.catalog or f"sqlite:///{paths.catalog}", room, copy)


def catalog_file(settings: Settings, paths: Paths) -> Path | None:
    """The file of the catalog; None if it is in another database."""
    if not settings.catalog:
        return paths.catalog
    if not settings.catalog.startswith("sqlite:"):
        return None
    name = make_url(settings.catalog).database
    return Path(name) if name and name != ":memory:" else None


def check_catalog_is_there(settings: Settings, paths: Paths) -> None:
    """Raise ConfigurationError if the catalog that the setting names is away, and disks are here.

    A new one would come into an empty mount point, and know nothing of them.
    """
    file = catalog_file(settings, paths)
    if not settings.catalog or file is None or file.exists():
        return
    if any(paths.zones.glob("*/disks/*/")):
        raise ConfigurationError(
            f"the catalog {file} is not there, and {paths.data} is in use: mount its file system, "
            "or name it rightly in the setting catalog. If it is lost, `mooringd restore-catalog` "
            "brings a copy back, and `mooringd recover` makes a new one"
        )


def catalog_copies(settings: Settings, paths: Paths, clock: Clock) -> CatalogCopies:
    """The copies of the catalog, by the settings."""
    folder, mounts = catalog_copies_directory(settings, paths), MountPoints(paths.mount_points)
    return CatalogCopies(folder, settings.catalog_copies.keep, clock, mounts)


def catalog_copies_directory(settings: Settings, paths: Paths) -> Path:
    """Where copies of the catalog go."""
    named = settings.catalog_copies.directory
    return Path(named).expanduser().absolute() if named else paths.catalog_copies
