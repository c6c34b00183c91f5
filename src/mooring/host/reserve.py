"""Small files that are deleted when there is no room left."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from mooring.files import WRITING, sync, write_at, write_whole
from mooring.host.room import MIB, may_take, room_at
from mooring.model.errors import NO_ROOM

BYTES = 16 * MIB
LARGEST_PART = 0.04
"""No more of a file system than this is set aside."""

FILE_BYTES = 256 * 1024
"""Of each file: deleted, it gives an inode as well, and takes no room, as btrfs needs for less."""

SLICE = MIB
"""What is given up at once: the rest stays for next time."""

LOW_BYTES = 2 * MIB
"""Less than this free is none: disks in use may take it any moment."""

LOW_FILES = SLICE // FILE_BYTES
"""The same of inodes."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
log = structlog.get_logger("mooring.room")


class Reserve:
    """Room on a file system for what makes room there, and for starting.

    Its blocks are really allocated. It may be used from any thread and by several processes.
    """

    def __init__(
        self, path: Path, size: int = BYTES, *, ours: Callable[[], bool] = lambda: True
    ) -> None:
        """`path` is the folder of the files. `ours` says whether the directory that it is in is
        one to write to now: it may be a mount that is away, or another that took its place. Nothing
        is set aside or given up while it is not."""
        self.path = path
        self._folder = path.parent
        self._size = size
        self._ours = ours
        self._lock = threading.Lock()
        self._problem = ""

    def held(self) -> int:
        """Bytes that can be given up."""
        try:
            with self._opened() as folder:
                return len(_numbers(folder)) * FILE_BYTES
        except OSError:
            return 0

    def is_low(self) -> bool:
        """Whether the file system has next to nothing free."""
        try:
            room = room_at(self._folder)
        except OSError:
            return False
        few = room.files is not None and room.files < LOW_FILES
        return room.free < LOW_BYTES or few

    def give_up(self, size: int = SLICE) -> bool:
        """Free so many bytes, or what is left; False if nothing is."""
        try:
            with self._lock, self._opened() as folder:
                numbers = _numbers(folder) if self._ours() else []
                if not numbers:
                    return False
                given = sorted(numbers)[-max(1, size // FILE_BYTES) :]
                for number in given:
                    _free(str(number), folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("the reserve cannot be given up", reason=str(error))
            return False
        left = (len(numbers) - len(given)) * FILE_BYTES
        log.warning("there is no space left: part of the reserve is given up", left_bytes=left)
        return True

    def write_whole(self, path: Path, content: str | bytes, *, durable: bool = True) -> None:
        """As `files.write_whole`, for a small file: in blocks of ours where there are no others.

        What is given up may be taken by whoever writes to a disk, before it can be used.
        Raises OSError.
        """
        data = content.encode() if isinstance(content, str) else content
        try:
            write_whole(path, data, durable=durable)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            if not self._write_over(path, data):
                # As on btrfs beyond a quota, where a file cannot be cut.
                if not self.give_up():
                    raise
                write_whole(path, data, durable=durable)

    def _write_over(self, path: Path, data: bytes) -> bool:
        """Let one of the files become that one; False if none can."""
        fresh = path.with_name(path.name + WRITING)
        try:
            if not self._take_one(fresh):
                return False
            try:
                _fill_anew(fresh, data)
                fresh.rename(path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            sync(path.parent)
        except OSError as error:
            log.warning("a file of the reserve cannot be used", path=str(path), reason=str(error))
            return False
        return True

    def _take_one(self, name: Path) -> bool:
        with self._lock, self._opened() as folder:
            # Another process may have taken one of those that were listed.
            for number in sorted(_numbers(folder) if self._ours() else [], reverse=True):
                with suppress(FileNotFoundError):
                    os.rename(str(number), name, src_dir_fd=folder)
                    return True
        return False

    def make_way(self) -> None:
        """Before something small that must be written: see that there is room for it."""
        try:
            needed = self.is_low() or not may_take(self._folder)
        except OSError:
            return
        if needed:
            self.give_up()

    def take(self) -> None:
        """Set aside what is missing, if the file system has room enough."""
        with self._lock:
            try:
                if not self._ours():
                    return
                room = room_at(self._folder)
                wanted = min(self._size, int(room.size * LARGEST_PART)) // FILE_BYTES
                missing = wanted - self.held() // FILE_BYTES
                little = room.free < 2 * wanted * FILE_BYTES
                few = room.files is not None and room.files < 2 * wanted
                if missing > 0 and not little and not few:
                    self._fill(wanted)
            except OSError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    log.warning("no reserve can be set aside", reason=self._problem)

    def _fill(self, wanted: int) -> None:
        if not self.path.is_symlink() and not self.path.is_dir():
            self.path.unlink(missing_ok=True)  # earlier versions had one file
            self.path.mkdir(mode=0o700)
        with self._opened() as folder:
            if not self._ours():
                # What was looked at before is not what the folder was made in.
                self.path.rmdir()
                return
            for number in range(wanted):
                fd = os.open(str(number), _NEW, 0o600, dir_fd=folder)
                try:
                    os.posix_fallocate(fd, 0, FILE_BYTES)
                    os.fsync(fd)
                finally:
                    os.close(fd)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The folder: in a directory that others can write to, it might be a link to another."""
        fd = os.open(self.path, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)


def _fill_anew(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_at(fd, 0, data)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)


def _free(name: str, folder: int) -> None:
    """Remove a file whose room is free at once: XFS frees what only its inode had later."""
    with suppress(OSError):
        fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.ftruncate(fd, 0)
        finally:
            os.close(fd)
    os.unlink(name, dir_fd=folder)


def _numbers(folder: int) -> list[int]:
    return [int(name) for name in os.listdir(folder) if re.fullmatch("0|[1-9][0-9]{0,8}", name)]
