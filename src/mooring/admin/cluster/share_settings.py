"""mooringd share-settings: has one server's settings hold for all."""

from __future__ import annotations

from mooring.config.settings import Settings
from mooring.config.shared import differences, places, shared_values
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.wiring.catalogs import catalog_at_hand


def share_settings(settings: Settings) -> int:
    """Enter them in the catalog, and print what that changes. Raises ConfigurationError."""
    with catalog_at_hand(settings) as catalog:
        if catalog is None or not catalog.is_for_many:
            raise ConfigurationError(
                "these settings name no catalog that servers share: give those of a server that "
                "does with --config"
            )
        with catalog.write() as transaction:
            found = differences(settings, transaction.shared_settings.held())
            mine = {**shared_values(settings), **places(settings)}
            transaction.shared_settings.put(mine, settings.name, SystemClock().now_ms())
    for one in found:
        print(f"{one.name}: {one.here}, before {one.shared}")
    if found:
        print("This holds for each server from its next start on.")
    else:
        print("All servers have these settings already.")
    return 0
