"""Looks after what serves snapshots to new disks that are not filled yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import structlog

from mooring.observe.loop import Loop
from mooring.vault.served.interface import SnapshotServer

LOOK_SECONDS = 0.5
"""How often a server's process is looked after. Reads wait ten times as long for it."""

log = structlog.get_logger("mooring.jobs")


class Keeper:
    """A thread that brings servers of snapshots back which have died although they are needed.

    One that stands still is as bad as dead, and worse: QEMU waits for an answer without limit,
    and a snapshot meanwhile stops all disks of the instance. So it is killed.
    """

    def __init__(
        self, servers: Mapping[str, SnapshotServer], needed: Callable[[], Collection[str]]
    ) -> None:
        """`needed` tells the regions with disks that are being filled."""
        self._servers = servers
        self._needed = needed
        self._loop = Loop("snapshot-servers", self._round)

    @property
    def started(self) -> bool:
        return self._loop.started

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Look after them no more; they continue."""
        self._loop.stop()

    def _round(self) -> float:
        self._look()
        return LOOK_SECONDS

    def _look(self) -> None:
        """Start again what is needed and does not run. Raises StoreError, and the catalog's."""
        # Not only what was seen alive: it may have died between two looks, or with the host.
        filling = self._needed() if self._servers else ()
        for region, server in self._servers.items():
            if region not in filling and not server.granted():
                continue
            if not server.alive():
                log.warning("a snapshot server is needed and not running", region=region)
                server.ensure()
            elif not server.answers():
                log.error("a snapshot server hangs, and is replaced", region=region)
                server.kill()
                server.ensure()
