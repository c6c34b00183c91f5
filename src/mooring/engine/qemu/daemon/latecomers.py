"""Clients that come while QEMU holds requests back: it waits for them for ever.

For a freeze, and whenever its graph changes, QEMU tells the clients that it has not to take another
request, and waits until those under way have ended. A client whose negotiation ends only then is
not told. It begins to receive a request, so that its number of requests never becomes 0, and QEMU
looks at it again and again, answering nothing else (nbd_drained_poll in nbd/server.c, read in
10.0.13; in 7.2 no negotiation goes on meanwhile). So negotiations under way are waited for before a
command that holds requests back. Whoever comes between this look and the command is cut off, and
comes again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import structlog

from mooring.engine.qemu.daemon.process import LOG_FILE
from mooring.host.processes.lasting_process import LastingProcess
from mooring.model.clock import Clock

log = structlog.get_logger("mooring.engine")

Cut = Callable[[], None]
"""Ends one connection. Raises OSError."""

_IN_USE = frozenset({"transaction", "block-commit", "blockdev-reopen"})
"""Commands for which QEMU holds requests back, and which disks in use get all the time."""

_HOLDS_BACK = _IN_USE | {"block-export-add", "block-export-del", "job-cancel"}
"""All for which it does. Disks are opened one after the other with these, before anybody comes."""

_SETTLE_SECONDS = 1.0
"""How long to wait for negotiations: they take milliseconds, or they never end."""

_SETTLE_PAUSE = 0.001

_QUIET_SECONDS = 0.1
"""How long nobody must have negotiated while clients are coming again, in crowds."""

_SPINS_AFTER = 2
"""How often in a row the daemon must be found to spin: on a busy machine it may seem so once."""

_PATIENCE_SECONDS = 10.0
"""How long a daemon may spin with clients that came late and cannot be cut off."""


class Connections(Protocol):
    """Who is connected to the daemons."""

    def negotiating(self, folder: Path) -> bool:
        """Whether anybody negotiates with the daemon in that folder, as far as that is known."""

    def in_a_rush(self, folder: Path) -> bool:
        """Whether clients of that daemon are coming again, because they had lost it."""

    def latecomers(self, folder: Path, since: int) -> Sequence[Cut] | None:
        """Connections whose negotiation ended later than that place in the daemon's log.

        None if nobody can tell.
        """


class Nobody:
    """For daemons without clients."""

    def negotiating(self, folder: Path) -> bool:
        return False

    def in_a_rush(self, folder: Path) -> bool:
        return False

    def latecomers(self, folder: Path, since: int) -> Sequence[Cut] | None:
        return []


class Latecomers:
    """Relieves one daemon of them. For the thread that waits for an answer."""

    def __init__(self, folder: Path, clock: Clock, connections: Connections) -> None:
        self._folder = folder
        self._clock = clock
        self._connections = connections
        self._asked_at = 0
        self._answered_at = 0
        self._spun = 0
        self._spins_since = 0.0

    @contextmanager
    def kept_out(self, command: str) -> Iterator[None]:
        """For the time of a command: nobody is negotiating, if that matters."""
        if command in _HOLDS_BACK:
            self._settle(command)
        self._asked_at = self._log_size()
        yield
        self._answered()

    def _answered(self) -> None:
        """The daemon has just answered: it waits for none of the clients that it has."""
        self._answered_at = self._log_size()
        self._spun = 0

    def relieve(self, daemon: LastingProcess) -> None:
        """Cut latecomers off if the daemon, which does not answer, waits for them."""
        if not daemon.spins(self._clock):
            self._spun = 0
            return
        if self._spun == 0:
            self._spins_since = self._clock.monotonic()
        self._spun += 1
        if self._spun < _SPINS_AFTER:
            return
        found = self._connections.latecomers(self._folder, self._asked_at)
        if not found:
            # It held them back before it was asked: when a merge ended.
            found = self._connections.latecomers(self._folder, self._answered_at)
        try:
            for cut in found or ():
                cut()
        except OSError:
            found = None
        if found:
            log.warning(
                "clients that came while requests were held back were cut off",
                folder=str(self._folder),
                connections=len(found),
            )
        elif found is None and self._clock.monotonic() - self._spins_since > _PATIENCE_SECONDS:
            # Another one takes its place, as if it had died; only so do its disks go on.
            log.error("a storage daemon that hangs is ended", folder=str(self._folder))
            daemon.kill()

    def _settle(self, command: str) -> None:
        began = quiet_since = self._clock.monotonic()
        rush = command in _IN_USE and self._connections.in_a_rush(self._folder)
        quiet = _QUIET_SECONDS if rush else 0.0
        while (now := self._clock.monotonic()) < began + _SETTLE_SECONDS:
            if self._connections.negotiating(self._folder):
                quiet_since = now
            elif now - quiet_since >= quiet:
                break
            self._clock.sleep(_SETTLE_PAUSE)

    def _log_size(self) -> int:
        try:
            return os.stat(self._folder / LOG_FILE).st_size  # noqa: PTH116 - for each command
        except OSError:
            return 0
