"""Clients' connections: so many at once, and none that says nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOG = logging.getLogger("mooring.api")


class ConnectionLimit:
    """How many connections there may be. Of those too many, the first is told to the log."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._full = False

    def admits(self, count: int) -> bool:
        """Whether the last of so many may stay."""
        full = count > self._most
        if full and not self._full:
            LOG.warning(
                "%d connections are open: more are closed at once (limits.connections)", self._most
            )
        # Not told again for each that goes and comes at the limit.
        self._full = full or (self._full and count > self._most // 2)
        return not full


class Connection(HttpToolsProtocol):
    """Closed at once if there are too many, and if no request begins in the time of an idle one."""

    def __init__(self, *arguments: Any, limit: ConnectionLimit, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._limit = limit

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._limit.admits(len(self.connections)):
            transport.abort()
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
