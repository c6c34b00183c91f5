"""mooringd audit: the audit log of all servers of a catalog."""

from __future__ import annotations

import json

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.wiring.catalogs import catalog_at_hand
from mooring.wiring.file_systems import audit_file

HOUR_MS = 60 * 60 * 1000


def audit(settings: Settings, hours: float, user: str | None, operation: str | None) -> int:
    """Print the lines of requests received in the last hours, oldest first.

    Raises ConfigurationError for a catalog that is one server's own: a file has them.
    """
    with catalog_at_hand(settings) as catalog:
        if catalog is None or not catalog.is_for_many:
            file = audit_file(settings, Paths(settings.data_directory.absolute()))
            raise ConfigurationError(
                f"the audit log of a server with a catalog of its own is {file}"
            )
        since = SystemClock().now_ms() - round(hours * HOUR_MS)
        with catalog.read() as transaction:
            for line in transaction.audit_lines.since(since):
                if user in (None, line["user"]) and operation in (None, line["operation"]):
                    print(json.dumps(line, separators=(",", ":")))
    return 0
