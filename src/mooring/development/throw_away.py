"""Throw-away directories, and what servers that were killed have left in them."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mooring.model.clock import SystemClock

PREFIX = "mooring-dev-"

YOUNG_SECONDS = 60
"""A directory of this age may not be locked yet by whoever makes it."""


@contextmanager
def throw_away() -> Iterator[Path]:
    """A directory that nobody else can look into, locked, and removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def left_behind() -> Iterator[list[Path]]:
    """Such directories of this user whose servers are no more, locked; removed in the end."""
    found: dict[Path, int] = {}
    now = SystemClock().now_ms() / 1000
    try:
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with suppress(OSError):
                state = folder.lstat()
                ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
                if not ours or now - state.st_mtime < YOUNG_SECONDS:
                    continue
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                found[folder] = lock
        yield list(found)
    finally:
        for folder, lock in found.items():
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
