"""Whether the catalog is copied as the settings say."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mooring.config.settings import Settings
from mooring.model.clock import SystemClock
from mooring.model.counts import counted
from mooring.model.paths import Paths
from mooring.wiring.catalog_copies import catalog_copies, catalog_file

LATE = 2
"""A copy is late after so many times the hours between two."""


def catalog_findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether all is well with the copies of the catalog, and what was found."""
    paths, clock = Paths(settings.data_directory.absolute()), SystemClock()
    catalog, hours = catalog_file(settings, paths), settings.catalog_copies.hours
    if catalog is None or not settings.catalog_copies.keep or not hours or not catalog.exists():
        return
    copies = catalog_copies(settings, paths, clock)
    where = f"copies of the catalog in {copies.folder}"
    if copies.problem() is not None:
        return  # which is told with the file systems
    try:
        newest = copies.newest_ms()
    except OSError as error:
        yield False, f"{where} cannot be read: {error.strerror}; see catalog_copies.directory"
        return
    if copies.folder.exists() and not os.access(copies.folder, os.W_OK):
        yield False, f"{where} cannot be made: this user may not write there"
    elif newest is None:
        yield True, f"{where}: none yet; `mooringd serve` makes one when it starts"
    else:
        age = (clock.now_ms() - newest) / 3_600_000
        text = f"{where}: the newest is {counted(round(age), 'hour')} old"
        if age > LATE * hours:
            yield False, f"{text}; start the server, or see in its log why it makes none"
        else:
            yield True, text
