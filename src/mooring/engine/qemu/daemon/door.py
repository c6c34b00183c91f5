"""The name of a daemon's NBD socket: with one, clients can connect.

A socket that was bound is there as `nbd.sock.new`, gets its name when it is published, and is
there as `nbd.sock.off` while there is a reason that nobody new shall connect. Connections stay.
A server that is killed meanwhile leaves the name off; the next one gives it back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from mooring.engine.qemu.daemon import process
from mooring.model.clock import Clock

_RUSH_SECONDS = 5.0
"""How long after the socket got its name back clients may be on their way."""


class Door:
    """The name of the socket in one folder, which several threads may have reasons to take away."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._back_at = float("-inf")
        self._named = folder / process.NBD_SOCKET
        self._fresh = process.bound_at(folder)
        self._off = process.withdrawn(folder)
        self._lock = threading.Lock()
        self._reasons: set[str] = set()

    def publish(self, *, again: bool = False) -> None:
        """Let clients connect, unless there is a reason against it; `again` if some lost it.

        Until then clients that reconnect are refused and try again; they would give up if they
        found a daemon that does not yet have their export.
        """
        with self._lock:
            with contextlib.suppress(FileNotFoundError):
                self._fresh.rename(self._off)
            self._open(rush=again)

    def close(self, why: str) -> None:
        """Let nobody new connect until `open` is called with the same reason."""
        with self._lock:
            self._reasons.add(why)
            with contextlib.suppress(FileNotFoundError):
                self._named.rename(self._off)

    def open(self, why: str) -> None:
        """Let clients connect again if that was the only reason."""
        with self._lock:
            if why in self._reasons:
                self._reasons.remove(why)
                self._open(rush=True)

    @contextlib.contextmanager
    def closed(self, why: str) -> Iterator[None]:
        """Let nobody new connect meanwhile."""
        self.close(why)
        try:
            yield
        finally:
            self.open(why)

    def in_a_rush(self) -> bool:
        """Whether the socket has its name back since a moment only: clients are coming again."""
        return self._clock.monotonic() - self._back_at <= _RUSH_SECONDS

    def _open(self, *, rush: bool) -> None:
        if not self._reasons:
            with contextlib.suppress(FileNotFoundError):
                self._off.rename(self._named)
                if rush:
                    self._back_at = self._clock.monotonic()
