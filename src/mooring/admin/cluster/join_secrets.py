"""mooringd join-secrets: makes, lists and revokes what lets further servers join."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mooring.backend.cluster_key import read_cluster_key
from mooring.catalog.database import Catalog
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.names import shown
from mooring.model.paths import Paths
from mooring.service.credentials.join_secrets import make_join_secret
from mooring.wiring.catalogs import catalog_at_hand

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS


def create(settings: Settings, *, once: bool, hours: float | None) -> int:
    """Print a new one: it cannot be shown again. Raises ConfigurationError."""
    if hours is not None and not 0 < hours <= 24 * 366:
        raise ConfigurationError(f"--hours must be more than 0 and at most 8784, not {hours:g}")
    file = Paths(settings.data_directory.absolute()).cluster_key
    key = read_cluster_key(file)
    if key is None:
        raise ConfigurationError(
            f"{file} does not exist, so this is no host of a server that shares a catalog: run "
            "this where one is, with its --config or --data"
        )
    lasts = None if hours is None else round(hours * HOUR_MS)
    with _catalog(settings) as catalog, catalog.write() as transaction:
        now = SystemClock().now_ms()
        secret = make_join_secret(transaction, key, once=once, lasts_ms=lasts, now_ms=now)
    print(secret)
    return 0


def list_secrets(settings: Settings) -> int:
    """Print which there are."""
    with _catalog(settings) as catalog, catalog.read() as transaction:
        found = transaction.join_secrets.all(SystemClock().now_ms())
    rows = [("ID", "FOR", "ENDS")]
    for one in found:
        servers = "one server" if one.once else "any number"
        rows.append((one.id, servers, _ends(one.left_ms)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    return 0


def revoke(settings: Settings, secret_id: str) -> int:
    """Refuse a secret from now on. Servers that have joined with it stay."""
    # Who gives the whole secret means its id.
    parts = secret_id.split("-")
    secret_id = parts[1] if parts[0] == "join" and len(parts) > 1 else secret_id
    with _catalog(settings) as catalog, catalog.write() as transaction:
        if not transaction.join_secrets.remove(secret_id):
            raise ConfigurationError(
                f"there is no join secret {shown(secret_id)}: `mooringd join-secrets list` "
                "shows all"
            )
    print(f"{secret_id}: revoked; servers that have joined with it stay")
    return 0


def _ends(left_ms: int | None) -> str:
    if left_ms is None:
        return "when it is revoked"
    if left_ms <= 0:
        return "expired"
    return f"in {left_ms / HOUR_MS:.1f} hours"


@contextmanager
def _catalog(settings: Settings) -> Iterator[Catalog]:
    with catalog_at_hand(settings) as catalog:
        if catalog is None or not catalog.is_for_many:
            raise ConfigurationError(
                "these settings name no catalog that servers share: give those of a server that "
                "does with --config"
            )
        yield catalog
