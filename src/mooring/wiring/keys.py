"""The access keys that servers share, for the server and for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.service.credentials.shared_keys import SharedKeys
from mooring.wiring.catalogs import catalog_at_hand


def shared_keys(catalog: Catalog, paths: Paths) -> SharedKeys | None:
    """The keys of the catalog; None if it is one server's own, which has them in a file."""
    if not catalog.is_for_many:
        return None
    return SharedKeys(catalog, paths.credentials, paths.cluster_key)


@contextmanager
def shared_keys_at_hand(settings: Settings) -> Iterator[SharedKeys | None]:
    """The same for commands. Raises ConfigurationError if the catalog cannot be used."""
    if not settings.catalog or settings.catalog.startswith("sqlite"):
        yield None
        return
    with catalog_at_hand(settings) as catalog:
        if catalog is None:
            raise ConfigurationError(
                "the catalog is not of this program's version: start the server once, which "
                "changes its tables"
            )
        yield shared_keys(catalog, Paths(settings.data_directory.absolute()))
