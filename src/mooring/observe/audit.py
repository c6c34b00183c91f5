"""The audit log: who changed what, or was denied; one line of JSON each."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from mooring.observe import metrics

log = structlog.get_logger("mooring.audit")


class AuditLog:
    """Appends lines to a file that only its owner reads; may be used from any thread.

    The file may be moved away at any time: the next line makes a new one. With `sync` a line is on
    the disk when `write` returns; lines that wait at the same time share one fsync.

    A file that reaches `size` bytes is moved to its name with `.1`, those there one on, and of
    these `kept` stay; a `size` of 0 leaves all in one file.
    """

    def __init__(
        self,
        path: Path,
        *,
        sync: bool,
        size: int = 0,
        kept: int = 1,
        away: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`away` says why no file may be made there now, if that is so."""
        self.path = path
        self._away = away
        self.syncs = sync
        self._size, self._kept = size, kept
        self._descriptor = -1
        # The file ends in part of a line: there was no room for the rest.
        self._torn = False
        self._waiting: list[bytes] = []
        self._written = self._taken = 0
        self._add = threading.Lock()
        self._work = threading.Lock()

    def open(self) -> None:
        """Make sure that lines can be written. Raises OSError."""
        with self._work:
            self._follow()

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line. A failure is logged and counted: what the line tells of is done."""
        text = json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        with self._add:
            self._waiting.append(text)
            self._taken += 1
            mine = self._taken
        with self._work:
            if self._written >= mine:
                return  # it went along with another's
            with self._add:
                lines, self._waiting = self._waiting, []
                last = self._taken
            self._append(b"".join(lines), len(lines))
            self._written = last

    def close(self) -> None:
        with self._work:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, text: bytes, count: int) -> None:
        try:
            self._follow()
            if self._torn:
                text = b"\n" + text
            # One call, so that lines of several servers do not mix.
            done = os.write(self._descriptor, text)
            self._torn = done < len(text)
            if self._torn:
                os.write(self._descriptor, text[done:])
                self._torn = False
            if self.syncs:
                os.fsync(self._descriptor)
            if self._size and os.fstat(self._descriptor).st_size >= self._size:
                self._move_on()
        except OSError as error:
            metrics.audit_failed(count)
            log.error(
                "audit log not written", file=str(self.path), reason=error.strerror, lines=count
            )

    def _move_on(self) -> None:
        """Begin a new file; another server that writes to this one may do it first.

        Only whoever has the lock of the file that has the name now moves files.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            # The lock may be that of a file moved already: another server has that of the next.
            if self._is_named() and os.fstat(self._descriptor).st_size >= self._size:
                names = [self.path, *(Path(f"{self.path}.{one + 1}") for one in range(self._kept))]
                for older, newer in reversed(list(zip(names[1:], names, strict=False))):
                    if newer.exists():
                        newer.replace(older)
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._follow()

    def _is_named(self) -> bool:
        """Whether the file that is open is the one under the name."""
        try:
            named, opened = self.path.stat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _follow(self) -> None:
        """Open the file, again if it is not the one under that name any more."""
        if self._descriptor >= 0 and self._is_named():
            return
        problem = self._away()
        if self._descriptor >= 0:
            if problem is not None:
                return  # the file is still on the file system that was taken away
            os.close(self._descriptor)
            self._descriptor = -1
        if problem is not None:
            raise OSError(errno.ENODEV, problem)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"
