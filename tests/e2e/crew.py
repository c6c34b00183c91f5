"""Writers on one disk, and the check of its snapshots against their journals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mooring.admin.demo.records import JOURNAL_ENTRY, Verdict
from mooring.admin.demo.writers import Writers
from tests.e2e.processes import until


@dataclass(frozen=True, slots=True)
class Asked:
    """A snapshot, and when it was asked for and answered: seconds of the monotonic clock."""

    name: str
    requested: float
    replied: float


class Crew:
    """Processes that write records to one disk, each its own range of blocks."""

    def __init__(self, folder: Path, uri: str, ranges: Sequence[range], **options: Any) -> None:
        folder.mkdir()
        self._writers = Writers(folder)
        self._journals = [folder / f"journal-{number}" for number in range(len(ranges))]
        self._stopped = False
        for blocks in ranges:
            self._writers.start(uri, blocks, **options)

    def begin(self) -> None:
        """Wait until each has written."""
        self._reach(0.0)

    @property
    def well(self) -> bool:
        """Whether all go on."""
        return not self._stopped and self._writers.alive

    def go_on(self, moment: float) -> None:
        """Wait until each has issued writes after the moment."""
        self._reach(moment)

    def stop(self) -> bool:
        """End all; False if one had failed."""
        well = self._writers.stop()
        self._stopped = True
        return well

    def compare(self, uri: str, asked: Asked) -> Verdict:
        """Check a restored disk."""
        if not self._stopped:
            # A journal is written in pieces: all that was issued before the reply must be in it.
            self._reach(asked.replied)
        return self._writers.compare(uri, asked.requested, asked.replied)

    def _reach(self, moment: float) -> None:
        def reached() -> bool:
            assert self._writers.alive, "a writer has ended with an error"
            return all(_last_moment(journal) > moment for journal in self._journals)

        until(reached, "the writers to go on")


def _last_moment(journal: Path) -> float:
    """When the last line of the journal was written; 0 for an empty one."""
    entries = journal.stat().st_size // JOURNAL_ENTRY.itemsize if journal.exists() else 0
    if not entries:
        return 0.0
    last = np.fromfile(journal, JOURNAL_ENTRY, 1, offset=(entries - 1) * JOURNAL_ENTRY.itemsize)
    return float(last["seconds"][0])
