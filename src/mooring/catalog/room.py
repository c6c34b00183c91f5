"""A catalog on a full file system: its errors, and its space set aside."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from mooring.host.allocation import allocate_beyond_end
from mooring.host.reserve import LOW_BYTES, SLICE, Reserve, slack
from mooring.host.room import MIB, room_at
from mooring.model.errors import NO_ROOM, CatalogFullError

LOG_BYTES = 8 * MIB
"""Blocks that the write-ahead log has at least; SQLite restarts it after 4 MiB."""

LARGEST_PART = 0.02
"""No more of a file system than this is given to the log."""

_DISK_FULL = "53100"
"""What PostgreSQL calls it."""

_BLOCK = 4096

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
    they are used up, it gets more from the reserve.
    """

    def __init__(self, database: Path, reserve: Reserve) -> None:
        self._database = database
        self._log = database.with_name(f"{database.name}-wal")
        self._reserve = reserve

    def prepare(self) -> None:
        """Before a change: two calls of the system, as long as there is room."""
        if not self._reserve.is_low() or slack(self._log) >= SLICE:
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
        if room.free >= wanted + LOW_BYTES and slack(self._log) < wanted // 2:
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

    def _extend(self, size: int) -> None:
        try:
            end = self._log.stat().st_size
        except OSError:
            return
        allocate_beyond_end(self._log, end + size)


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
