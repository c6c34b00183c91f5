"""Blocks of files: given back, set aside beyond the end (fallocate), counted."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_SECTOR = 512
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


def taken_below(folder: Path) -> int:
    """Bytes of blocks that the files in the folder and below have; what goes meanwhile has none."""
    taken = 0
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif not entry.is_symlink():
                        taken += entry.stat(follow_symlinks=False).st_blocks * _SECTOR
        except OSError:
            continue
    return taken


def _fallocate(fd: int, mode: int, offset: int, length: int) -> int:
    """The error's number; 0 if it was done."""
    number = ctypes.c_int64
    done: int = _libc.fallocate64(fd, mode, number(offset), number(length))
    return ctypes.get_errno() if done else 0
