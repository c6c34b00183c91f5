"""The folder of a vault: whether it is there, its new files, its errors."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mooring.model.errors import (
    NO_ROOM,
    DiskFullError,
    MooringError,
    StoreError,
    VaultAwayError,
    VaultReadOnlyError,
)
from mooring.vault.store.names import check_name

TEMPORARY = ".temporary"
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class VaultFolder:
    """It is made with mode 0700 if it is missing."""

    def __init__(self, root: Path) -> None:
        """Raises StoreError if it can be neither found nor made."""
        self.root = root
        self._held: tuple[str, bytes] | None = None
        self._seen: tuple[int, ...] = ()
        with self.errors("open"):
            # A read-only file system has nothing to make, and must still be readable.
            if not root.is_dir():
                root.mkdir(mode=0o700, parents=True)

    def hold_to(self, name: str, content: bytes) -> None:
        """From now on it counts as there only if the object has this content."""
        check_name(name)
        self._held, self._seen = (name, content), ()

    def check(self, *, writes: bool = False) -> None:
        """Raise VaultAwayError, or VaultReadOnlyError if it is to be written to and cannot be."""
        if self._held is not None:
            self._look(*self._held)
        if writes and not os.access(self.root, os.W_OK | os.X_OK):
            raise self._read_only()

    def path(self, name: str) -> Path:
        """Where the object of that name is, or would be. Raises StoreError for a bad name."""
        return self.root / check_name(name)

    def temporary(self) -> tuple[int, str]:
        """Open a new file under a name of its own, locked for as long as it is open."""
        folder = self.root / TEMPORARY
        with self.errors("write to"):
            try:
                fd, path = tempfile.mkstemp(dir=folder)
            except FileNotFoundError:
                self.check()
                folder.mkdir(mode=0o700, exist_ok=True)
                fd, path = tempfile.mkstemp(dir=folder)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                # If the file is where the store is now, so will be what it is renamed to: names
                # of another file system it cannot be given.
                self.check()
            except BaseException:
                os.close(fd)
                Path(path).unlink(missing_ok=True)
                raise
        return fd, path

    def sweep(self, before_ms: int) -> int:
        """Remove new files last changed before then that nobody has open; returns how many."""
        swept = 0
        with self.errors("sweep"), suppress(FileNotFoundError):
            for entry in list(os.scandir(self.root / TEMPORARY)):
                with suppress(FileNotFoundError):
                    if entry.stat().st_mtime_ns // 1_000_000 < before_ms and _is_orphan(entry.path):
                        Path(entry.path).unlink()
                        swept += 1
        return swept

    @contextmanager
    def errors(self, action: str) -> Iterator[None]:
        """Turn the system's errors into ours."""
        try:
            yield
        except OSError as error:
            raise self.error(action, error) from error

    def error(self, action: str, error: OSError) -> MooringError:
        """What a failure means that hindered the action."""
        if error.errno in NO_ROOM:
            return DiskFullError(
                f"the file system of the vault {self.root} is full: free some space on it, or "
                "delete snapshots and collect"
            )
        if error.errno in _READ_ONLY and not os.access(self.root, os.W_OK | os.X_OK):
            return self._read_only()
        return StoreError(f"could not {action} the vault {self.root}: {error}")

    # ---

    def _look(self, name: str, content: bytes) -> None:
        """Look whether the object is there; it is read only when it is not the one seen last."""
        path = f"{self.root}/{name}"
        try:
            found = os.stat(path)  # noqa: PTH116 - for each object; a Path costs more than it
            seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if seen == self._seen:
                return
            same = Path(path).read_bytes() == content
        except (FileNotFoundError, NotADirectoryError):
            raise VaultAwayError(
                f"the vault {self.root} is away: mount it, or put it back"
            ) from None
        except OSError as error:
            raise VaultAwayError(f"the vault {self.root} is away: {error.strerror}") from error
        if not same:
            raise VaultAwayError(
                f"{self.root} no longer holds the same vault: mount the right one, or put it back"
            )
        self._seen = seen

    def _read_only(self) -> VaultReadOnlyError:
        return VaultReadOnlyError(
            f"the vault {self.root} can only be read: mount it for writing, or give this user the "
            "right to write"
        )


def _is_orphan(path: str) -> bool:
    """A live upload holds its lock; the kernel drops those of killed processes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
