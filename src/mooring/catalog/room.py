"""A catalog on a full file system: its errors, and its space set aside."""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from mooring.files import rename_new
from mooring.host.allocation import allocate_beyond_end
from mooring.host.reserve import LOW_BYTES, SLICE, Reserve
from mooring.host.room import MIB, room_at
from mooring.model.errors import NO_ROOM, CatalogFullError

LOG_BYTES = 8 * MIB
"""Blocks that the write-ahead log has at least; SQLite restarts it after 4 MiB."""

LARGEST_PART = 0.02
"""No more of a file system than this is given to the log."""

_DISK_FULL = "53100"
"""What PostgreSQL calls it."""

_BLOCK = 4096

_LOG_HEAD, _FRAME_HEAD = 32, 24
"""Bytes before the first page in the log, and before each."""

_INDEX_HEAD = struct.Struct("=14xHI76xI")
"""The index of the log: the size of a page, the frames in the log, and how many of those are in
the database, too (sqlite.org/walformat.html)."""

_PERHAPS_FULL = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
}
"""Errors of SQLite that are also those of a file system without room, and of many others."""


class CatalogRoom:
    """Keeps a catalog in a SQLite file able to record what makes room.

    The log has its blocks beforehand, so that nobody else on the file system can take them; when
    they are used up, it gets more from the reserve. It keeps them when the server ends.
    """

    def __init__(self, database: Path, reserve: Reserve) -> None:
        self._database = database
        self._log = database.with_name(f"{database.name}-wal")
        self._index = database.with_name(f"{database.name}-shm")
        self._kept = database.with_name(f"{database.name}-wal-kept")
        self._reserve = reserve
        self._lock = threading.Lock()
        self._opened: tuple[tuple[int, int], int] | None = None
        """The index as it was opened last, and its descriptor; under the lock."""

    def before_open(self) -> None:
        """Before the first connection: let the log have the blocks that it had last time.

        Only one process may do so at a time, which is the one that holds the data directory.
        """
        with suppress(OSError):
            if self._log.exists():
                self._kept.unlink()  # the same file, or an old one
                return
            with self._kept.open("rb+") as file:
                # Without its head it is an empty log, and is written from its beginning.
                file.write(bytes(_LOG_HEAD))
                file.flush()
                os.fsync(file.fileno())
            # Not in place of one that a command makes just now.
            if not rename_new(self._kept, self._log):
                self._kept.unlink()

    def before_close(self) -> None:
        """Before the last connection ends, which removes the log: keep its file, if it can be."""
        with suppress(OSError):  # there may be no links there
            os.link(self._log, self._kept)

    def after_close(self) -> None:
        """When this process has no connection any more."""
        with self._lock:
            self._close_index()

    def prepare(self) -> None:
        """Before a change: two calls of the system, as long as there is room."""
        if not self._reserve.is_low() or self._slack() >= SLICE:
            return
        # What is given up beyond the log's part is for the database, when the log comes into it.
        if self._reserve.give_up(2 * SLICE):
            self._extend(SLICE)

    def keep(self) -> None:
        """Now and then: give the log its blocks again, which it loses with its file."""
        try:
            room = room_at(self._database.parent)
        except OSError:
            return
        wanted = min(LOG_BYTES, int(room.size * LARGEST_PART))
        if room.free >= wanted + LOW_BYTES and self._slack() < wanted // 2:
            self._extend(wanted)

    def relieve(self) -> None:
        """After a change that found no room, perhaps none for this user: let the next find some."""
        self._reserve.give_up(2 * SLICE)

    def can_write(self) -> bool:
        """Whether there is room for a file beside the database."""
        try:
            with tempfile.TemporaryFile(dir=self._database.parent) as file:
                file.write(bytes(_BLOCK))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return error.errno not in NO_ROOM
        return True

    def _slack(self) -> int:
        """Bytes that can be written to the log without a new block."""
        try:
            return self._log.stat().st_blocks * 512 - self._used()
        except OSError:
            return 0

    def _used(self) -> int:
        """Where the next change goes in the log: to its beginning, if all was taken over."""
        size = self._log.stat().st_size
        try:
            head = self._index_head()
        except OSError:
            with self._log.open("rb") as file:
                return size if any(file.read(_LOG_HEAD)) else 0
        if len(head) < _INDEX_HEAD.size:
            return size
        page, frames, taken_over = _INDEX_HEAD.unpack(head)
        return 0 if taken_over >= frames else min(size, _LOG_HEAD + frames * (page + _FRAME_HEAD))

    def _index_head(self) -> bytes:
        """Kept open: whoever closes the file of the index ends SQLite's locks in this process."""
        with self._lock:
            named = self._index.stat()
            file = (named.st_dev, named.st_ino)
            if self._opened is None or self._opened[0] != file:
                self._close_index()  # SQLite has no locks on one that was removed
                self._opened = file, os.open(self._index, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(self._opened[1], _INDEX_HEAD.size, 0)

    def _close_index(self) -> None:
        if self._opened is not None:
            os.close(self._opened[1])
            self._opened = None

    def _extend(self, size: int) -> None:
        with suppress(OSError):
            end = max(self._log.stat().st_size, self._used() + size)
            allocate_beyond_end(self._log, end)


class LackOfRoom:
    """Raises CatalogFullError for what the database at `place` says of a full file system.

    One for all transactions, of any threads: it keeps nothing between enter and exit, and costs a
    transaction next to nothing.
    """

    def __init__(self, place: str, room: CatalogRoom | None = None) -> None:
        self._place, self._room = place, room

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if not isinstance(error, DBAPIError | sqlite3.Error):
            return
        if not _is_full(error.orig if isinstance(error, DBAPIError) else error, self._room):
            return
        if self._room is not None:
            self._room.relieve()
        raise CatalogFullError(
            f"there is no space for the catalog {self._place}, so nothing can be recorded: free "
            "some space on its file system, or delete snapshots or disks; space is set aside for "
            "that, so try again"
        ) from error


def _is_full(error: BaseException | None, room: CatalogRoom | None) -> bool:
    if getattr(error, "sqlstate", None) == _DISK_FULL:
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return True
    return code in _PERHAPS_FULL and room is not None and not room.can_write()
