"""Storage daemons of zones that this server does not serve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mooring.engine.qemu.daemon import process
from mooring.host.processes.lasting_process import LastingProcess


@dataclass(frozen=True, slots=True)
class Stray:
    """A daemon that serves an instance's disks, of a zone without an engine here."""

    zone: str
    instance_id: str
    _process: LastingProcess

    def end(self) -> None:
        """End it, and cut off who uses its disks."""
        self._process.end(process.END_SECONDS)

    def close(self) -> None:
        """Drop it; it keeps running."""
        self._process.close()


def strays(run: Path, served: Collection[str]) -> list[Stray]:
    """Those in the run directory whose zone is not among those that are served. Close each."""
    return [
        Stray(folder.parent.name, folder.name, found)
        for folder, found in process.running(run, besides=served)
    ]
