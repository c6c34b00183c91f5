"""mooringd grants: list and withdraw the right to read snapshots over NBD."""

from __future__ import annotations

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.service.credentials.keys import read_keys, show_moment
from mooring.wiring.snapshot_servers import grants_of

SHOWN = 8
"""Letters of a name that are shown: with the whole of it anybody could read."""


def list_grants(settings: Settings) -> int:
    """Print all grants that have not ended."""
    path = Paths(settings.data_directory).credentials
    users = {key.id: key.access.user for key in read_keys(path).values()} if path.exists() else {}
    rows = [("GRANT", "REGION", "SNAPSHOT", "USER", "KEY", "ENDS")]
    for region, grants in grants_of(settings, SystemClock()).items():
        for name, grant in sorted(grants.all().items()):
            user, ends = users.get(grant.key_id, "-"), show_moment(grant.ends_ms)
            key = grant.key_id or "-"
            rows.append((name[:SHOWN], region, grant.snapshot_id, user, key, ends))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    return 0


def withdraw_grants(settings: Settings, named: list[str], everything: bool) -> int:
    """Withdraw the grants that `list` shows so, or all; open connections end with them.

    Raises ConfigurationError for one that is not there, and then withdraws none.
    """
    found = {
        (region, name): grants
        for region, grants in grants_of(settings, SystemClock()).items()
        for name in grants.all()
    }
    for beginning in named:
        if len(beginning) < SHOWN or not any(name.startswith(beginning) for _, name in found):
            raise ConfigurationError(f"there is no grant {beginning}: see `mooringd grants list`")
    for (region, name), grants in found.items():
        if everything or any(name.startswith(beginning) for beginning in named):
            grants.withdraw(name)
            print(f"{name[:SHOWN]}: withdrawn in {region}")
    return 0
