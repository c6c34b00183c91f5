"""Grants: who may read which snapshot until when, as files."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mooring.files import write_whole
from mooring.host.room import told_when_full
from mooring.model.clock import Clock
from mooring.model.errors import StoreError

FOLDER = "grants"
RUN = "run directory"
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Grant:
    """A snapshot may be read under a name that nobody can guess, until `expires_ms`.

    `key_id` is the access key that asked for it, and without which it ends; empty for none.
    """

    snapshot_id: str
    expires_ms: int
    key_id: str = ""


class Grants:
    """The grants in a run directory, one file each, named as the export is."""

    def __init__(self, run: Path, clock: Clock) -> None:
        self._folder = run / FOLDER
        self._clock = clock

    def add(self, snapshot_id: str, seconds: float, key_id: str = "") -> str:
        """Grant, and return the export's name; forgets what has expired.

        Raises DiskFullError, StoreError.
        """
        name = secrets.token_hex(16)
        expires = self._clock.now_ms() + round(seconds * 1000)
        text = json.dumps({"snapshot": snapshot_id, "expires_ms": expires, "key": key_id})
        try:
            with told_when_full(self._folder, RUN):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._folder / name, text, durable=False)
            for old, grant in self._all():
                if grant.expires_ms <= self._clock.now_ms():
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the export could not be noted: {error}") from error
        return name

    def find(self, name: str) -> Grant | None:
        """The grant of that name, unless it has expired."""
        if not _NAME.fullmatch(name):
            return None
        grant = _read(self._folder / name)
        return grant if grant is not None and grant.expires_ms > self._clock.now_ms() else None

    def holds(self, name: str) -> bool:
        """Whether the grant has not been withdrawn; quicker than `find`."""
        return (self._folder / name).exists()

    def all(self) -> dict[str, Grant]:
        """Those that have not expired, by their names. Keep the names: they let anybody read."""
        now = self._clock.now_ms()
        return {path.name: one for path, one in self._all() if one.expires_ms > now}

    def withdraw(self, name: str) -> None:
        """End a grant: its reads fail within a second, also those of open connections."""
        (self._folder / name).unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether there is one that has not expired."""
        return any(grant.expires_ms > self._clock.now_ms() for _, grant in self._all())

    def _all(self) -> Iterator[tuple[Path, Grant]]:
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                grant = _read(path) if _NAME.fullmatch(path.name) else None
                if grant is not None:
                    yield path, grant


def _read(path: Path) -> Grant | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Grant(str(fields["snapshot"]), int(fields["expires_ms"]), str(fields.get("key", "")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
