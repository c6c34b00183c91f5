"""Which processes have a file open, as far as this user may see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from mooring.model.clock import Clock

_QEMU_LOCK_BYTES = (100, 200)

_LINGER_SECONDS, _LINGER_PAUSE = 5.0, 0.005
"""How long a lock of nobody is waited for: the kernel ends requests of a process after it."""


def outlasting(clock: Clock, holder: Callable[[], str | None]) -> str | None:
    """Who holds a lock, asked again as long as nobody can be named; None if it is free.

    `holder` returns an empty text for a lock of nobody.
    """
    deadline = clock.monotonic() + _LINGER_SECONDS
    while (found := holder()) == "" and clock.monotonic() <= deadline:
        clock.sleep(_LINGER_PAUSE)
    return found


def locked_by_qemu(path: Path) -> bool:
    """Whether a QEMU process has the image open for writing.

    QEMU holds open-file-description locks on the bytes from 100 and from 200 of each image that
    it uses (block/file-posix.c).
    """
    start, end = _QEMU_LOCK_BYTES
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
    with path.open("rb+") as file:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, wanted)
    locked: int = struct.unpack("hhqqi4x", answer)[0]
    return locked != fcntl.F_UNLCK


def holders(path: Path) -> list[int]:
    """The ids of the processes that have the file open for writing, without this one."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if any(_writes(fd, wanted) for fd in _open_files(entry)):
                    found.append(int(entry.name))
    return sorted(found)


def in_use_by(path: Path) -> str:
    """Who has the file open and what to do about it, to end a sentence with; may be empty."""
    found = holders(path)
    if not found:
        return ""
    names = ", ".join(f"{pid} ({_program(pid)})" for pid in found)
    return (
        f": {path} is held by process {names}; if that is a storage daemon of a data directory "
        "that was moved or restored, end it with kill, and the disk will be served again"
    )


def _open_files(process: Path) -> Iterator[Path]:
    yield from (process / "fd").iterdir()


def _writes(fd: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(fd.stat(), wanted) and bool(fd.lstat().st_mode & 0o200)
    except OSError:
        return False  # closed meanwhile


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"
