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
    was committed before is on the disk; whoever waits while another syncs joins the next.
    """

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._commit = threading.Lock()
        self._sync = threading.Lock()
        self._committed = self._synced = 0
        self._descriptor = -1
        self._named: tuple[int, int] | None = None
        self._lost: OSError | None = None
        self._delayed: OSError | None = None

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

        Raises CatalogError if they cannot be made so. After a failed fsync that is forever: what
        the system has not written once it may have forgotten, so that a later success would mean
        nothing. Short of descriptors or memory it is for now, and the next call tries again.
        """
        if wanted is None:
            with self._commit:
                wanted = self._committed
        if self._synced >= wanted and self._lost is None:
            return
        with self._sync:
            if self._lost is None and self._synced < wanted:
                with self._commit:
                    target = self._committed
                self._delayed = self._try_write_out()
                if self._delayed is None and self._lost is None:
                    self._synced = target
            if self._lost is not None:
                raise CatalogError(
                    f"{self._log} could not be written to the disk ({self._lost.strerror}), so "
                    "nothing more can be recorded. Repair the disk, then restart the server."
                )
            if self._synced < wanted and self._delayed is not None:
                raise CatalogError(
                    f"{self._log} could not be opened ({self._delayed.strerror}), so nothing can "
                    "be recorded for now. Every change tries again."
                )

    def check(self) -> None:
        """Raise CatalogError if nothing can be recorded; tries again what failed last."""
        if self._lost is not None or self._delayed is not None:
            self.wait()

    def close(self) -> None:
        """Close the log; it is opened again when it is needed."""
        with self._sync:
            self._close_log()

    def _try_write_out(self) -> OSError | None:
        """What stands in the way for now, if anything; what is lost is kept."""
        try:
            if not self._follow():
                return None  # SQLite has brought all of it into the database, and synced that
            folder = self._unnamed()
        except OSError as error:
            return error
        try:
            os.fsync(self._descriptor)
            if folder is not None:
                os.fsync(folder)
                found = os.fstat(self._descriptor)
                self._named = (found.st_dev, found.st_ino)
        except OSError as error:
            self._lost = error
        finally:
            if folder is not None:
                os.close(folder)
        return None

    def _follow(self) -> bool:
        """Have the log open that is under its name; whether there is one.

        It is kept open, so that a commit needs no descriptor when others have taken them all.
        """
        try:
            named = self._log.stat()
        except FileNotFoundError:
            self._close_log()
            return False
        if self._descriptor >= 0:
            opened = os.fstat(self._descriptor)
            if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino):
                return True
            self._close_log()  # SQLite has deleted the log, and made another
        try:
            self._descriptor = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _unnamed(self) -> int | None:
        """The log's folder, opened, if the log's name in it has not been synced."""
        found = os.fstat(self._descriptor)
        if self._named == (found.st_dev, found.st_ino):
            return None
        return os.open(self._log.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _close_log(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
