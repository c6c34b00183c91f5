"""Copies of a SQLite catalog: made during use, limited in number, put back."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mooring.files import appearing, sync
from mooring.host.mount_points import MountPoints
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError

_NAME = re.compile(r"catalog-(\d{8}T\d{6}Z)(-before-(\d+))?\.sqlite")
_WHAT = "directory for copies of the catalog"
_WRITING = "catalog.writing"
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy. `before` is the migration that it was made before, None for a regular one."""

    path: Path
    made_ms: int
    before: int | None


class CatalogCopies:
    """The copies in a directory: at most `keep` regular ones, and as many before migrations."""

    def __init__(
        self, folder: Path, keep: int, clock: Clock, mounts: MountPoints | None = None
    ) -> None:
        """`mounts` says whether the folder is on a file system that is not mounted."""
        self.folder = folder
        self._mounts = mounts
        self._keep = keep
        self._clock = clock

    def found(self) -> Sequence[Copy]:
        """Those there are, oldest first. Raises OSError."""
        if not self.folder.exists():
            return []
        matches = [match for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        copies = [
            Copy(self.folder / match[0], _ms(match[1]), int(match[3]) if match[3] else None)
            for match in matches
        ]
        return sorted(copies, key=lambda one: (one.made_ms, one.path.name))

    def problem(self) -> str | None:
        """Why no copy can be made now: its directory is away. None if it is not."""
        return None if self._mounts is None else self._mounts.problem(self.folder, _WHAT)

    def newest_ms(self) -> int | None:
        """When the newest regular one was made; None if there is none.

        Those that a clock left ahead which was set back since do not count.
        """
        now = self._clock.now_ms()
        regular = (one.made_ms for one in self.found() if one.before is None)
        return max((made for made in regular if made <= now), default=None)

    def make(self, catalog: Path, before: int | None = None) -> Path | None:
        """Copy the catalog as it is this moment; None if no copies are to be kept.

        It may be in use. The copy appears whole, checked and durable, or not at all; then older
        ones go. Raises OSError, sqlite3.Error, PlaceAwayError.
        """
        if not self._keep:
            return None
        if self._mounts is not None:
            self._mounts.make(self.folder, _WHAT)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writing = self.folder / _WRITING
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).strftime(_TIME)
        ending = "" if before is None else f"-before-{before:04d}"
        path = self.folder / f"catalog-{moment}{ending}.sqlite"
        # Made for this user alone, before SQLite opens it.
        with appearing(path, writing=writing):
            _copy(catalog, writing)
        self._thin(before is None)
        return path

    def _thin(self, regular: bool) -> None:
        now = self._clock.now_ms()
        alike = [one for one in self.found() if (one.before is None) == regular]
        # What is ahead of the clock was made before that was set back: it goes first.
        alike.sort(key=lambda one: one.made_ms <= now)
        for one in alike[: -self._keep]:
            one.path.unlink(missing_ok=True)


def put_back(copy: Path, catalog: Path, aside: Path) -> None:
    """Replace the catalog by a copy, durably; what was there goes to `aside`.

    Nobody may use the catalog meanwhile. What it knows as not begun may be done by now: it counts
    as begun. Raises ConfigurationError if the copy is none.
    """
    writing = catalog.with_name(f"{catalog.name}.writing")
    with appearing(catalog, writing=writing):
        try:
            _copy(copy, writing)
            _count_jobs_as_begun(writing)
            sync(writing)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"{copy} cannot be put back: {error}. The catalog was left as it was."
            ) from error
        if catalog.exists():
            # With its log, which holds what is not in the file yet.
            for ending in ("-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{catalog}{ending}").rename(f"{aside}{ending}")


def _count_jobs_as_begun(catalog: Path) -> None:
    with contextlib.closing(sqlite3.connect(catalog)) as opened, opened:
        columns = [row[1] for row in opened.execute("PRAGMA table_info(jobs)")]
        if "generation" in columns:  # else it is of before they had one
            opened.execute("UPDATE jobs SET generation = generation + 1")


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(2, "No such file", str(source))
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
        # One file, without a log beside it.
        new.execute("PRAGMA journal_mode = DELETE").fetchone()
        problem = new.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(f"the catalog is damaged: {problem}")
        if not new.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone():
            raise sqlite3.DatabaseError("it is not a Mooring catalog")


def _ms(text: str) -> int:
    return round(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp() * 1000)
