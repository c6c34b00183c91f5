"""The keys that are valid now, read again when their file changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import structlog

from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError
from mooring.service.credentials.keys import Key, open_keys, read_keys

log = structlog.get_logger("mooring.keys")

LOOK_SECONDS = 1.0
"""How long a change of the file may go unnoticed."""

Ended = Callable[[Collection[str]], None]
"""Is told the ids of keys that are gone, or may something else than before."""

State = tuple[int, int, int, int]


def ended(before: Mapping[str, Key], after: Mapping[str, Key]) -> set[str]:
    """The ids of keys that are gone, or may something else than before."""
    return {
        key.id
        for key in before.values()
        if key.id not in after or after[key.id].access != key.access
    }


class Keyring:
    """Finds keys. A file that cannot be read any more leaves those that were good before.

    Makes the file with one key if there is none; without `makes` somebody else brings it, and
    until then there are no keys. Raises ConfigurationError when it is damaged.
    """

    def __init__(self, path: Path, clock: Clock, *, makes: bool = True) -> None:
        self.path = path
        self._ended: Ended = lambda _ids: None
        self._clock = clock
        self._lock = threading.Lock()
        self._keys = open_keys(path) if makes or path.exists() else {}
        self._state = self._look()
        self._looked = clock.monotonic()
        self.used: dict[str, int] = {}
        """When each key was last used since the start, by its id; milliseconds."""

    def note_use(self, key_id: str) -> None:
        """The key has just been used by whoever has its secret."""
        self.used[key_id] = self._clock.now_ms()

    def tell(self, ended: Ended) -> None:
        """Tell of keys that end, whenever the file is read again."""
        self._ended = ended

    def ids(self) -> Collection[str]:
        """Of all keys in the file."""
        return self._keys.keys()

    def ends(self) -> dict[str, int]:
        """When keys end that do, in milliseconds, by what they are called in the file."""
        return {
            key.profile: key.expires_ms for key in self._keys.values() if key.expires_ms is not None
        }

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
            before = self._keys
            try:
                self._keys = read_keys(self.path)
            except ConfigurationError as error:
                log.error("keys not reloaded: the known ones stay valid", reason=str(error))
                return
        self._ended(ended(before, self._keys))
        log.info("keys reloaded", keys=len(self._keys))

    def _look(self) -> State | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        # The change time too: who mends only the mode wants the file read again.
        return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size
