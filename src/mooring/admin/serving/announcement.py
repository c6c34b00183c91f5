"""Telling clients on this host where the server is, as soon as there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from mooring.admin.running_server import RunningServer, announce
from mooring.host.reserve import Reserve

SOONEST_SECONDS, LATEST_SECONDS = 0.1, 10.0
"""When it is tried again: later each time."""

log = structlog.get_logger("mooring.server")


class Announcement:
    """A file that is tried until it is written: an earlier one names a server that is no more."""

    def __init__(self, path: Path, server: RunningServer, reserve: Reserve) -> None:
        self._path = path
        self._server = server
        self._reserve = reserve
        self._problem = ""
        self._written = False

    def write(self) -> None:
        """Write it. An error is logged: the server serves all the same, for whoever knows where."""
        try:
            announce(self._path, self._server, self._reserve)
        except OSError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("clients on this host cannot find the server", reason=self._problem)
            return
        self._written = True
        if self._problem:
            log.info("clients on this host can find the server again")

    async def until_written(self) -> None:
        """Try again until it is there."""
        pause = SOONEST_SECONDS
        while not self._written:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LATEST_SECONDS)
            self.write()
