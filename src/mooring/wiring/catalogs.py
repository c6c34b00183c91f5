"""The catalog, for commands that run with a server or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.model.paths import Paths


@contextmanager
def catalog_at_hand(settings: Settings) -> Iterator[Catalog | None]:
    """The catalog of the settings; None if there is none yet, or one that a server must change.

    Raises ConfigurationError if it cannot be used.
    """
    file = Paths(settings.data_directory.absolute()).catalog
    if not settings.catalog and not file.exists():
        yield None
        return
    catalog = Catalog(settings.catalog or f"sqlite:///{file}")
    try:
        yield catalog if catalog.is_current() else None
    finally:
        catalog.close()
