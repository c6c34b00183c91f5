"""Mount points that must be mounted before anything is written below them."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from mooring.files import write_whole
from mooring.host.mounts import unescape
from mooring.model.errors import PlaceAwayError

_MOUNTED = Path("/proc/self/mountinfo")
_TABLE = Path("/etc/fstab")
log = structlog.get_logger("mooring.host")


def mounted() -> frozenset[Path]:
    """Where something is mounted now. Asks no file system: one may hang."""
    lines = _MOUNTED.read_text(errors="surrogateescape").splitlines()
    return frozenset(Path(unescape(line.split(" ")[4])) for line in lines if line)


def promised(table: Path = _TABLE) -> frozenset[Path]:
    """Where this host's table of file systems says that something is to be mounted."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    found = (line.split() for line in lines if not line.lstrip().startswith("#"))
    points = (Path(unescape(fields[1])) for fields in found if len(fields) > 1)
    # In a changed root its own mount is not seen.
    return frozenset(one for one in points if one.is_absolute() and one != Path("/"))


def missing(folder: Path, expected: Iterable[Path]) -> Path | None:
    """The expected mount point at or above the folder where nothing is mounted; None if none is."""
    absent = frozenset(expected) - mounted()
    return _nearest(folder, absent) if absent else None


def not_mounted(folder: Path, table: Path = _TABLE) -> str | None:
    """Why the folder is away, by the host's table; None if it is not."""
    point = missing(folder, promised(table))
    if point is None:
        return None
    return (
        f"nothing is mounted at {point}, which is a mount point in {table}: mount it, or remove "
        "its line from there"
    )


class _Mounted:
    """Where something is mounted, read again only when that has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poll: select.poll | None = None
        self._points: frozenset[Path] = frozenset()

    def now(self) -> frozenset[Path]:
        # Whoever polls first is told of a change (proc_pid_mounts(5)), and nobody after that.
        with self._lock:
            if self._poll is None:
                self._poll = select.poll()
                # One for the process, for as long as it runs.
                self._poll.register(os.open(_MOUNTED, os.O_RDONLY | os.O_CLOEXEC), select.POLLPRI)
                self._points = mounted()
            elif self._poll.poll(0):
                self._points = mounted()
            return self._points


_now = _Mounted()


class _Lines:
    """What was read of a file, read again only when the file has changed."""

    def __init__(self, path: Path, read: Callable[[Path], frozenset[Path]]) -> None:
        self._path, self._read = path, read
        self._stamp: tuple[int, ...] | None = None
        self._points: frozenset[Path] = frozenset()

    def now(self) -> frozenset[Path]:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - for each snapshot
            stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            return frozenset()
        if stamp != self._stamp:
            # In this order: what changes meanwhile is read the next time.
            self._points, self._stamp = self._read(self._path), stamp
        return self._points


class MountPoints:
    """The mount points below which a data directory's server has had anything, and the table's.

    They are noted in a file, one a line, which people may edit. Whatever is to be below one where
    nothing is mounted is away: it is not written to, and not made anew.
    """

    def __init__(self, record: Path, table: Path = _TABLE) -> None:
        self.record = record
        self._table = table
        self._promised, self._notes = _Lines(table, promised), _Lines(record, _noted)
        self._problem = ""

    def problem(self, folder: Path, what: str) -> str | None:
        """Why the folder must not be written to; None if it may be."""
        noted = self._notes.now()
        if (point := self._missing(folder, noted)) is None:
            return None
        table = self.record if point in noted else self._table
        return (
            f"the {what}, {folder}, is away: nothing is mounted at {point}. Mount it, and "
            f"everything continues; if it is no mount point any more, remove its line from {table}"
        )

    def check(self, folder: Path, what: str) -> None:
        """Raise PlaceAwayError if the folder must not be written to."""
        if (problem := self.problem(folder, what)) is not None:
            raise PlaceAwayError(problem)

    def make(self, folder: Path, what: str) -> None:
        """Make a folder for this user alone, and those above it. Raises PlaceAwayError, OSError."""
        self.check(folder, what)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (point := self._missing(folder, self._notes.now())) is not None:
            # It was unmounted between the two.
            for one in _above(folder):
                if one == point:
                    break
                with suppress(OSError):
                    one.rmdir()
            self.check(folder, what)

    def differ(self, upper: Path, lower: Path) -> bool:
        """Whether there is, or must be, a mount point between the two folders, or at the lower."""
        points = _now.now() | self._notes.now() | self._promised.now()
        return _nearest(upper, points) != _nearest(lower, points)

    def note(self, folders: Iterable[Path]) -> None:
        """Note the mount points that the folders are below, unless the record is, too."""
        now, noted = _now.now(), self._notes.now()
        own = set(_above(self.record))
        points = {point for one in folders if (point := _nearest(one, now)) and point not in own}
        if points <= noted:
            return
        lines = sorted(f"{point}\n" for point in noted | points)
        try:
            write_whole(self.record, os.fsencode("".join(lines)))
        except OSError as error:
            # It is tried again; there may be no room.
            if str(error) != self._problem:
                self._problem = str(error)
                log.warning("mount points cannot be noted", reason=str(error))

    def _missing(self, folder: Path, noted: frozenset[Path]) -> Path | None:
        absent = (noted | self._promised.now()) - _now.now()
        return _nearest(folder, absent) if absent else None


def _noted(record: Path) -> frozenset[Path]:
    try:
        lines = record.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return frozenset()
    return frozenset(Path(line) for line in lines if line.startswith("/"))


def _above(folder: Path) -> list[Path]:
    """The folder as it is without links, and all above it, the nearest first."""
    real = Path(os.path.realpath(folder))
    return [real, *real.parents]


def _nearest(folder: Path, points: frozenset[Path]) -> Path | None:
    return next((one for one in _above(folder) if one in points), None)
