"""The catalog, for commands that run with a server or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths


@contextmanager
def catalog_at_hand(settings: Settings) -> Iterator[Catalog | None]:
    """The catalog of the settings; None if there is none yet, or one that a server must change.

    Raises ConfigurationError if it cannot be used.
    """
    paths = Paths(settings.data_directory.absolute())
    check_shares(settings, paths)
    file = paths.catalog
    if not settings.catalog and not file.exists():
        yield None
        return
    catalog = Catalog(settings.catalog or f"sqlite:///{file}")
    try:
        yield catalog if catalog.is_current() else None
    finally:
        catalog.close()


def check_shares(settings: Settings, paths: Paths) -> None:
    """Raise ConfigurationError if these are not the settings of a server that shares a catalog.

    Without them it would begin a catalog of its own, that knows nothing of the disks here.
    """
    if paths.cluster_key.exists() and not settings.catalog and not paths.catalog.exists():
        named = str(paths.settings) if paths.settings.exists() else "FILE"
        raise ConfigurationError(
            f"the server of {paths.data} shares a catalog, and these settings name none: give its "
            f"settings with --config {named}"
        )
