"""A file whose space is given up when there is none left."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from mooring.host.room import MIB, room_at

BYTES = 16 * MIB
LARGEST_PART = 0.04
"""No more of a file system than this is set aside."""

SLICE = MIB
"""What is given up at once: the rest stays for next time."""

LOW_BYTES = 2 * MIB
"""Less than this free is none: disks in use may take it any moment."""

_KEEP_SIZE = 1
_libc = ctypes.CDLL(None, use_errno=True)
log = structlog.get_logger("mooring.room")


class Reserve:
    """Room on a file system for what makes room there, and for starting.

    Its blocks are really allocated. It may be used from any thread and by several processes.
    """

    def __init__(
        self, path: Path, size: int = BYTES, *, ours: Callable[[], bool] = lambda: True
    ) -> None:
        """`ours` says whether the directory is one to write to now: it may be a mount that is
        away, or another that took its place. Nothing is set aside or given up while it is not."""
        self.path = path
        self._folder = path.parent
        self._size = size
        self._ours = ours
        self._lock = threading.Lock()
        self._problem = ""

    def held(self) -> int:
        """Bytes that can be given up."""
        try:
            found = self.path.lstat()
        except OSError:
            return 0
        # In a directory that others can write to, it might be a link to a file of theirs.
        return found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0

    def is_low(self) -> bool:
        """Whether the file system has next to nothing free."""
        try:
            room = room_at(self._folder)
        except OSError:
            return False
        return room.free < LOW_BYTES or room.files == 0

    def give_up(self, size: int = SLICE) -> bool:
        """Free so many bytes, or what is left; False if nothing is."""
        with self._lock:
            held = self.held()
            if not held or not self._ours():
                return False
            left = max(0, held - size)
            try:
                if left:
                    fd = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        os.ftruncate(fd, left)
                    finally:
                        os.close(fd)
                else:
                    self.path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("the reserve cannot be given up", reason=str(error))
                return False
        log.warning("there is no space left: part of the reserve is given up", left_bytes=left)
        return True

    def make_way(self) -> None:
        """Before something small that must be written: see that there is room for it."""
        if self.is_low():
            self.give_up()

    def take(self) -> None:
        """Set aside what is missing, if the file system has room enough."""
        with self._lock:
            try:
                if not self._ours():
                    return
                room = room_at(self._folder)
                wanted = min(self._size, int(room.size * LARGEST_PART)) // MIB * MIB
                missing = wanted - self.held()
                if missing <= 0 or room.free < 2 * wanted:
                    return
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(self.path, flags, 0o600)
                try:
                    if not self._ours():
                        # What was looked at before is not what the file was made in.
                        self.path.unlink(missing_ok=True)
                        return
                    os.posix_fallocate(fd, 0, wanted)
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    log.warning("no reserve can be set aside", reason=self._problem)


def allocate_beyond_end(path: Path, size: int) -> bool:
    """Give the file blocks for `size` bytes without making it longer; False if that is not done.

    What is written there later needs no room (ext4, XFS; not where data are never overwritten).
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        length = ctypes.c_int64
        return int(_libc.fallocate64(fd, _KEEP_SIZE, length(0), length(size))) == 0
    finally:
        os.close(fd)


def slack(path: Path) -> int:
    """Bytes that can be appended to the file without a new block."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return max(0, found.st_blocks * 512 - found.st_size)
