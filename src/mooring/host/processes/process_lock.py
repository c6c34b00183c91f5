"""A lock that a lasting process inherits, and holds to its end."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import IO

_FLOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE = (os.SEEK_SET, 0, 0, 0)


def take(file: IO[bytes], *, shared: bool = False) -> bool:
    """Lock the file. The lock belongs to whatever has inherited the open file, until its end."""
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, *_WHOLE_FILE))
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock."""
    try:
        with path.open("rb+") as lock:
            wanted = _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE)
            answer = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, wanted)
    except FileNotFoundError:
        return False
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def inherit(lock_fd: int) -> None:
    """Be the process that holds the lock that it was started with."""
    os.set_inheritable(lock_fd, False)
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
