"""Looks after what serves snapshots to new disks that are not filled yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

import structlog

from mooring.vault.served.interface import SnapshotServer

LOOK_SECONDS = 0.5
"""How often a server's process is looked after. Reads wait ten times as long for it."""

log = structlog.get_logger("mooring.jobs")


class Keeper:
    """A thread that brings servers of snapshots back which have died although they are needed."""

    def __init__(
        self, servers: Mapping[str, SnapshotServer], needed: Callable[[], Collection[str]]
    ) -> None:
        """`needed` tells the regions with disks that are being filled."""
        self._servers = servers
        self._needed = needed
        self._closing = threading.Event()
        self._alive = dict.fromkeys(servers, False)
        self._thread = threading.Thread(target=self._run, name="snapshot-servers", daemon=True)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look after them no more; they go on."""
        self._closing.set()
        if self.started:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            for region, server in self._servers.items():
                died = self._alive[region] and not server.alive()
                self._alive[region] = server.alive()
                if died:
                    self._bring_back(region, server)

    def _bring_back(self, region: str, server: SnapshotServer) -> None:
        try:
            if server.granted() or region in self._needed():
                log.warning("a server of snapshots died and is started again", region=region)
                server.ensure()
        except Exception as error:  # noqa: BLE001 - the thread must go on, and look again
            log.warning("snapshots cannot be served", region=region, error=repr(error))
            self._alive[region] = True
