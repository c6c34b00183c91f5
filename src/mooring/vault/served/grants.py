"""Grants: who may read which snapshot until when, as files."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mooring.files import write_whole
from mooring.host.processes.folder_process import RUN
from mooring.host.room import told_when_full
from mooring.model.clock import Clock
from mooring.model.errors import StoreError

FOLDER = "grants"
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Grant:
    """A snapshot may be read under a name that nobody can guess, until `expires_ms`.

    `key_id` is the access key that asked for it, and without which it ends; empty for none. With
    `idle_ms` it ends earlier if nobody was connected for so long; `used_ms` says when somebody was.
    """

    snapshot_id: str
    expires_ms: int
    key_id: str = ""
    idle_ms: int | None = None
    used_ms: int = 0

    @property
    def ends_ms(self) -> int:
        """When it ends if nobody connects any more."""
        if self.idle_ms is None:
            return self.expires_ms
        return min(self.expires_ms, self.used_ms + self.idle_ms)


class Grants:
    """The grants in a run directory, one file each, named as the export is."""

    def __init__(self, run: Path, clock: Clock) -> None:
        self._folder = run / FOLDER
        self._clock = clock

    def add(
        self,
        snapshot_id: str,
        seconds: float,
        key_id: str = "",
        idle_seconds: float | None = None,
    ) -> str:
        """Grant, and return the export's name; forgets what has expired.

        With `idle_seconds` it ends when nobody was connected for so long. Raises DiskFullError,
        StoreError.
        """
        name = secrets.token_hex(16)
        expires = self._clock.now_ms() + round(seconds * 1000)
        fields = {"snapshot": snapshot_id, "expires_ms": expires, "key": key_id}
        if idle_seconds is not None:
            fields["idle_ms"] = round(idle_seconds * 1000)
        try:
            with told_when_full(self._folder, RUN):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(self._folder / name, json.dumps(fields), durable=False)
                self.use(name)
            for old, grant in self._all():
                if grant.ends_ms <= self._clock.now_ms():
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the export could not be noted: {error}") from error
        return name

    def find(self, name: str) -> Grant | None:
        """The grant of that name, unless it has expired."""
        if not _NAME.fullmatch(name):
            return None
        grant = _read(self._folder / name)
        return grant if grant is not None and grant.ends_ms > self._clock.now_ms() else None

    def use(self, name: str) -> None:
        """Note that somebody is connected; does nothing if the grant was withdrawn."""
        now = self._clock.now_ms() * 1_000_000
        with suppress(OSError):
            os.utime(self._folder / name, ns=(now, now))

    def holds(self, name: str) -> bool:
        """Whether the grant has not been withdrawn; quicker than `find`."""
        return (self._folder / name).exists()

    def all(self) -> dict[str, Grant]:
        """Those that have not expired, by their names. Keep the names: they let anybody read."""
        now = self._clock.now_ms()
        return {path.name: one for path, one in self._all() if one.ends_ms > now}

    def withdraw(self, name: str) -> None:
        """End a grant: its reads fail within a second, also those of open connections."""
        (self._folder / name).unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether there is one that has not expired."""
        return any(grant.ends_ms > self._clock.now_ms() for _, grant in self._all())

    def _all(self) -> Iterator[tuple[Path, Grant]]:
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                grant = _read(path) if _NAME.fullmatch(path.name) else None
                if grant is not None:
                    yield path, grant


def _read(path: Path) -> Grant | None:
    try:
        with path.open(encoding="utf-8") as file:
            used_ms = os.fstat(file.fileno()).st_mtime_ns // 1_000_000
            fields = json.load(file)
        idle = fields.get("idle_ms")
        return Grant(
            str(fields["snapshot"]),
            int(fields["expires_ms"]),
            str(fields.get("key", "")),
            None if idle is None else int(idle),
            used_ms,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
