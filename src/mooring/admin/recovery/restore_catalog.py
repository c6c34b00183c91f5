"""mooringd restore-catalog: put a copy of the catalog back in its place."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from mooring.catalog.copies import put_back
from mooring.catalog.hold import FileHold
from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.wiring.catalog_copies import catalog_copies, catalog_file
from mooring.wiring.data_directory import hold_directory


def restore_catalog(settings: Settings, copy: Path | None) -> int:
    """Put the copy back, or list the copies there are.

    Raises ConfigurationError, and ServerRunningError beside a server; nothing is changed then.
    """
    paths = Paths(settings.data_directory.absolute())
    catalog = catalog_file(settings, paths)
    if catalog is None:
        raise ConfigurationError(
            "the catalog is not in SQLite: restore it with its database's own tools, such as "
            "pg_restore"
        )
    clock = SystemClock()
    if copy is None:
        copies = catalog_copies(settings, paths, clock)
        for one in copies.found():
            made = datetime.fromtimestamp(one.made_ms / 1000, UTC)
            why = "" if one.before is None else f", before migrations that followed {one.before}"
            print(f"{one.path}  made {made:%Y-%m-%d %H:%M:%S} UTC{why}")
        if not copies.found():
            print(f"there is no copy in {copies.folder}")
        return 0
    with ExitStack() as stack:
        stack.callback(hold_directory(paths).close)
        # The server of another data directory may use it.
        stack.callback(FileHold(catalog).close)
        now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
        aside = catalog.with_name(f"{catalog.name}.replaced-{now:%Y%m%dT%H%M%SZ}")
        there = catalog.exists()
        put_back(copy, catalog, aside)
    print(f"{catalog} is {copy} now" + (f"; the old one is {aside}" if there else ""))
    print("`mooringd recover --add` enters the disks and snapshots made since")
    return 0
