"""Blocks of files, given back from within and set aside beyond the end (fallocate)."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_CANNOT = (errno.EOPNOTSUPP, errno.ENOSYS)
_libc = ctypes.CDLL(None, use_errno=True)


def punch(fd: int, offset: int, length: int) -> bool:
    """Make a hole in the file; False if its file system cannot. Raises OSError."""
    code = _fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, offset, length)
    if code and code not in _CANNOT:
        raise OSError(code, os.strerror(code))
    return not code


def allocate_beyond_end(path: Path, size: int) -> bool:
    """Give the file blocks for `size` bytes without making it longer; False if that is not done.

    What is written there later needs no room (ext4, XFS; not where data are never overwritten).
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _fallocate(fd, _KEEP_SIZE, 0, size)
    finally:
        os.close(fd)


def _fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """The error's number; 0 if it was done."""
    number = ctypes.c_int64
    done: int = _libc.fallocate64(fd, mode, number(offset), number(length))
    return ctypes.get_errno() if done else 0
