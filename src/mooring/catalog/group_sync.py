"""Makes commits of SQLite durable: many of them with one fsync."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mooring.model.errors import CatalogError


class GroupSync:
    """Syncs the write-ahead log of a database, whose own commits then need not.

    A commit is written within `committing`, by one writer at a time. `wait` returns when all that
    was committed before is on the disk; who waits while another syncs goes along with the next.
    """

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._commit = threading.Lock()
        self._sync = threading.Lock()
        self._committed = self._synced = 0
        self._named: tuple[int, int] | None = None
        self._failure: OSError | None = None

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Hold off those who ask what has been committed until it can be said."""
        with self._commit:
            try:
                yield
            finally:
                self._committed += 1

    @contextmanager
    def counted(self) -> Iterator[int]:
        """How many commits there are, while no other comes."""
        with self._commit:
            yield self._committed

    def wait(self, wanted: int | None = None) -> None:
        """Return when so many commits are durable, or all until now.

        Raises CatalogError if they cannot be made so, then and ever after: what the system has
        not written once it may have forgotten, so that a later success would mean nothing.
        """
        if wanted is None:
            with self._commit:
                wanted = self._committed
        if self._synced >= wanted and self._failure is None:
            return
        with self._sync:
            if self._failure is None and self._synced < wanted:
                with self._commit:
                    target = self._committed
                try:
                    self._write_out()
                except OSError as error:
                    self._failure = error
                else:
                    self._synced = target
            if self._failure is not None:
                raise CatalogError(
                    f"{self._log} could not be written to the disk ({self._failure.strerror}), so "
                    "nothing can be recorded any more. Mend the disk, then start the server again."
                )

    def _write_out(self) -> None:
        try:
            # Opened each time: SQLite may delete the log and make another.
            descriptor = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # SQLite has brought all of it into the database, and synced that
        try:
            os.fsync(descriptor)
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if self._named != (found.st_dev, found.st_ino):
            folder = os.open(self._log.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._named = (found.st_dev, found.st_ino)
