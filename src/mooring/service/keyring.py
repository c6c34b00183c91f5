"""The keys that are good now, read again when their file changes."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.service.keys import Key, open_keys, read_keys

log = structlog.get_logger("mooring.keys")

LOOK_SECONDS = 1.0
"""How long a change of the file may go unnoticed."""

State = tuple[int, int, int, int]


class Keyring:
    """Finds keys. A file that cannot be read any more leaves those that were good before.

    Makes the file with one key if there is none. Raises ConfigurationError when it is damaged.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._keys = open_keys(path)
        self._state = self._look()
        self._looked = clock.monotonic()

    def find(self, key_id: str) -> Key | None:
        """The key of that id; None if there is none, or none that is good any more."""
        if self._clock.monotonic() - self._looked >= LOOK_SECONDS:
            self.refresh()
        key = self._keys.get(key_id)
        return None if key is None or key.ended(self._clock.now_ms()) else key

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        with self._lock:
            self._looked = self._clock.monotonic()
            state = self._look()
            if state == self._state:
                return
            self._state = state
            try:
                self._keys = read_keys(self.path)
            except ConfigurationError as error:
                log.error("keys not read again: those known stay good", reason=str(error))
                return
        log.info("keys read again", keys=len(self._keys))

    def _look(self) -> State | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        # The change time too: who mends only the mode wants the file read again.
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
