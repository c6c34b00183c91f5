"""The places in which callers serve images to import."""

from __future__ import annotations

import shutil
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

from mooring.host.room import told_when_full
from mooring.model.clock import Clock
from mooring.model.errors import InvalidInputException
from mooring.model.ids import Ids

SOCKET = "nbd.sock"
"""The name of the socket in its place."""

EXPORT = "image"
"""The name of the export that is served there."""

OFFERED_SECONDS = 300.0
"""How long a place waits for its import."""

MOST_OFFERED = 32
"""Places that may wait for one user at once."""

_DIGITS = 32


@dataclass(frozen=True, slots=True)
class _Offer:
    user: str
    until: float


class ImportPlaces:
    """Folders that only the server's own user can write to, one for each import.

    The server connects to sockets there and nowhere else, so no caller can send it to a socket
    that was there before, whoever listens on it: only a process that has the server's rights
    already can put one there. A place is known only to whom it was offered. May be used from any
    thread.
    """

    def __init__(self, folder: Path, clock: Clock, ids: Ids) -> None:
        self._folder = folder
        self._clock = clock
        self._ids = ids
        self._offers: dict[str, _Offer] = {}
        self._lock = threading.Lock()

    def offer(self, user: str) -> tuple[str, Path]:
        """A new place for one import by the user: its token and its folder.

        Raises InvalidInputException if too many wait for the user already; DiskFullError, OSError.
        """
        with self._lock:
            self._forget_old()
            if sum(one.user == user for one in self._offers.values()) >= MOST_OFFERED:
                raise InvalidInputException(
                    f"{MOST_OFFERED} import folders are already offered to this user, which is the "
                    f"limit: use them, or try again in {OFFERED_SECONDS:g} s."
                )
            token = self._ids.token(_DIGITS)
            place = self._folder / token
            with told_when_full(self._folder, "run directory"):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                place.mkdir(mode=0o700)
            self._offers[token] = _Offer(user, self._clock.monotonic() + OFFERED_SECONDS)
        return token, place

    def socket(self, user: str, token: str) -> Path:
        """Where the image is served. Raises InvalidInputException if the place is not theirs."""
        with self._lock:
            offer = self._offers.get(token)
            if offer is None or offer.user != user or offer.until < self._clock.monotonic():
                raise InvalidInputException(
                    "No such folder was offered to this user, or it has expired: start the import "
                    "again."
                )
        return self._folder / token / SOCKET

    def taken(self, token: str) -> None:
        """The import has begun: no other can be made from there."""
        with self._lock:
            self._offers.pop(token, None)

    def _forget_old(self) -> None:
        """Remove the places whose time is over and in which nobody serves anything."""
        now = self._clock.monotonic()
        for token in [token for token, one in self._offers.items() if one.until < now]:
            del self._offers[token]
        if not self._folder.is_dir():
            return
        for place in self._folder.iterdir():
            if place.name not in self._offers and not _is_served(place / SOCKET):
                shutil.rmtree(place, ignore_errors=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # so many wait there that it must be one
        except OSError:
            return False
        return True
