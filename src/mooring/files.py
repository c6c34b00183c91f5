"""Files that appear whole or not at all, and what makes files and folders durable."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
_NO_NOREPLACE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_AT_FDCWD, _NOREPLACE = -100, 1
_HOLE = 64 * 1024
_ZEROS = bytes(_HOLE)

WRITING = ".new"
"""The end of a file's name while it is being written."""


@contextmanager
def appearing(
    path: Path, *, durable: bool = True, writing: Path | None = None
) -> Iterator[IO[bytes]]:
    """Open a file that gets its name at the end of the block, in place of one that has it.

    It is for its user alone. Until then it is at `writing`, by default beside the path; what a
    crash left there is removed, and whoever else writes there is waited for. If the block
    raises, it is removed. `durable`: content and name are on the disk when this returns.
    Raises OSError.
    """
    fresh = path.with_name(path.name + WRITING) if writing is None else writing
    with _open_alone(fresh) as file:
        try:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            fresh.rename(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    if durable:
        sync(path.parent)


def write_whole(
    path: Path, content: str | bytes, *, durable: bool = True, writing: Path | None = None
) -> None:
    """Write a file that has all of the content or is as it was, as `appearing` says."""
    with appearing(path, durable=durable, writing=writing) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def rename_new(old: Path, new: Path) -> bool:
    """Give a file a name that nothing has; False if it is taken. Of several at once one wins.

    A link does it, or where the file system has none (exFAT, FAT, most SMB), a rename that
    replaces nothing, or where it has neither (FUSE), a plain rename under a lock of the folder.
    Raises OSError.
    """
    try:
        os.link(old, new)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        # It has its name, whatever becomes of the old one.
        with suppress(OSError):
            old.unlink()
        return True
    number = _rename_no_replace(old, new)
    if number in _NO_NOREPLACE:
        return _rename_locked(old, new)
    if number not in (0, errno.EEXIST):
        raise OSError(number, os.strerror(number), str(old), None, str(new))
    return not number


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_data(path: Path) -> None:
    """Make the content of a file durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Read that much from there, less only at the end of the file. Raises OSError."""
    data = os.pread(fd, length, offset)
    if len(data) == length or not data:
        return data
    parts, done = [data], len(data)
    while done < length and (data := os.pread(fd, length - done, offset + done)):
        parts.append(data)
        done += len(data)
    return b"".join(parts)


def write_at(fd: int, offset: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of the data there; memoryviews are of bytes. Raises OSError."""
    rest = memoryview(data)
    while rest:
        done = os.pwrite(fd, rest, offset)
        rest, offset = rest[done:], offset + done


def write_sparse(fd: int, offset: int, data: bytes) -> None:
    """Write the data where the file is empty, and leave holes where they are zeros."""
    view = memoryview(data)
    begin = 0
    for at in range(0, len(data), _HOLE):
        piece = view[at : at + _HOLE]
        if piece == _ZEROS[: len(piece)]:
            write_at(fd, offset + begin, view[begin:at])
            begin = at + len(piece)
    write_at(fd, offset + begin, view[begin:])


def _rename_no_replace(old: Path, new: Path) -> int:
    """The error's number; 0 if it was done."""
    # Only here, for the command line, which seldom needs it, has to start soon.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(old), os.fsencode(new)
    done = libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _NOREPLACE)
    return ctypes.get_errno() if done else 0


def _rename_locked(old: Path, new: Path) -> bool:
    fd = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.path.lexists(new):
            return False
        old.rename(new)
        return True
    finally:
        os.close(fd)


def _open_alone(path: Path) -> IO[bytes]:
    """Make the file, locked for as long as it is open."""
    while True:
        try:
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            _clear(path)
            continue
        try:
            _lock(fd)
            # Somebody else may have taken it for left by a crash.
            if _is_at(fd, path):
                return os.fdopen(fd, "wb")
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _clear(path: Path) -> None:
    """Wait for whoever writes the file; remove it if a crash has left it."""
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return
    try:
        _lock(fd)
        if _is_at(fd, path):
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError as error:
        # Without locks, as on some file systems of other hosts, it must do to be the only writer.
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False
