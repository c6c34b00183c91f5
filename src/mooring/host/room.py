"""How much space file systems have, and the margin kept free on them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mooring.model.counts import counted
from mooring.model.errors import NO_ROOM, DiskFullError

MIB = 1 << 20

LARGEST_MARGIN = 0.05
"""No more of a file system is kept free: on a small one the setting could be all of it."""

SHORT = 0.10
"""Less than this part free is called short, but not more than `PLENTY_BYTES`."""

PLENTY_BYTES = 64 << 30

_BLOCK = 4096
_UNNAMED = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC

FEW_FILES = 64
"""Room for fewer files than this is none."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a file system has, in bytes; `files` more can be made, None where it does not matter."""

    path: Path
    free: int
    size: int
    files: int | None = None

    @property
    def is_short(self) -> bool:
        """Whether somebody should look after it."""
        few = self.files is not None and self.files < 10 * FEW_FILES
        return few or self.free < min(self.size * SHORT, PLENTY_BYTES)

    def has(self, margin: int) -> bool:
        """Whether so many bytes are free, or as many as can be asked of its size."""
        if self.files is not None and self.files < FEW_FILES:
            return False
        return self.free >= min(margin, self.size * LARGEST_MARGIN)

    def __str__(self) -> str:
        text = f"{_amount(self.free)} free of {_amount(self.size)}"
        if self.files is not None and self.files < 10 * FEW_FILES:
            text += f", and inodes for {counted(self.files, 'more file')}"
        return text


def room_at(path: Path) -> Room:
    """The room at the path, or where it would be made. Raises OSError."""
    try:
        found = os.statvfs(path)
    except (FileNotFoundError, NotADirectoryError):
        found = os.statvfs(_existing(path))
    # btrfs counts no files; it has no limit of them.
    files = found.f_favail if found.f_files else None
    return Room(
        path,
        free=found.f_bavail * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        files=files,
    )


def device_at(path: Path) -> int:
    """Which file system is at the path, or where it would be made. Raises OSError."""
    return _existing(path).stat().st_dev


def _existing(path: Path) -> Path:
    while True:
        try:
            path.stat()
            return path
        except (FileNotFoundError, NotADirectoryError):
            if path == path.parent:
                raise
            path = path.parent


def may_take(path: Path) -> bool:
    """Whether this user may take a little room there: what a file system has tells of no quota."""
    try:
        try:
            fd = os.open(path, _UNNAMED, 0o600)
        except (FileNotFoundError, NotADirectoryError):
            place = _existing(path)
            fd = os.open(place if place.is_dir() else place.parent, _UNNAMED, 0o600)
    except OSError as error:
        return error.errno not in NO_ROOM
    try:
        os.posix_fallocate(fd, 0, MIB)
    except OSError as error:
        return error.errno not in NO_ROOM
    finally:
        os.close(fd)
    return True


def check_room(
    path: Path, what: str, margin: int, may_take: Callable[[Path], bool] = may_take
) -> None:
    """Raise DiskFullError if less than the margin is free there; 0 is no margin."""
    if not margin:
        return
    if not (room := room_at(path)).has(margin):
        raise DiskFullError(
            f"the file system of the {what}, {path}, has {room}. The rest is kept for disks in "
            "use: delete snapshots or disks, or free space there in another way. The setting "
            "room.margin_mib says how much is kept"
        )
    if not may_take(path):
        raise DiskFullError(
            f"the file system of the {what}, {path}, has {room}, but none for the user of this "
            "server: raise its quota there, or delete snapshots or disks"
        )


@contextmanager
def told_when_full(place: Path, what: str) -> Iterator[None]:
    """Raise DiskFullError where the system finds no room in the place; its other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFullError(
            f"the file system of the {what}, {place}, is full, or out of inodes: free some space "
            "there and try again"
        ) from error


def try_room(place: Path, what: str) -> None:
    """Raise DiskFullError if not even a small file can be written in the place; OSError.

    Before something is started there that would only say that it did not succeed.
    """
    with told_when_full(place, what), tempfile.TemporaryFile(dir=place) as file:
        file.write(bytes(_BLOCK))


def _amount(size: int) -> str:
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (MIB, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return counted(size, "byte")
