"""An image file being written: it has its name only when whole."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mooring.files import rename_new, sync, write_whole
from mooring.model.errors import ConfigurationError, StoreError

FORMATS = ("raw", "qcow2", "vmdk")
"""What can be written; `qemu-img`'s names."""

_NOT_WRITTEN = ("vdi", "vhdx", "vhd", "qcow", "qed")
"""Endings of image files that nobody expects raw bytes in."""

PART = ".part"
MARK = ".mark"


def format_of(output: Path) -> str:
    """The format that the file's name tells, raw if it tells none. Raises ConfigurationError."""
    ending = output.suffix[1:].lower()
    if ending in _NOT_WRITTEN:
        raise ConfigurationError(
            f"{output} would not be a {ending} image: raw, qcow2 and vmdk can be written. Name "
            "another file, or the format with --format"
        )
    return ending if ending in FORMATS else "raw"


def check_free(output: Path) -> None:
    """Raise ConfigurationError if something has the name already."""
    if os.path.lexists(output):
        raise _taken(output)


def _taken(output: Path) -> ConfigurationError:
    return ConfigurationError(f"{output} exists and was left as it is: name another file")


class ImagePart:
    """`FILE.part` beside the file that is to be, held by one process; close it, or use `with`.

    It is for its user alone. One that an earlier try has left is taken over, content and all.
    """

    def __init__(self, output: Path) -> None:
        """Raises ConfigurationError if it cannot be written, or somebody else writes it."""
        check_free(output)
        self.output = output
        self.path = output.with_name(output.name + PART)
        self._mark = self.path.with_name(self.path.name + MARK)
        self.fd = self._open()
        self.found = os.fstat(self.fd).st_size > 0

    def _open(self) -> int:
        while True:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
                fd = os.open(self.path, flags, 0o600)
            except OSError as error:
                raise ConfigurationError(
                    f"{self.output} cannot be written: {error.strerror}: {self.path}"
                ) from error
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have given it its name, or removed it, a moment ago.
                if os.path.samestat(os.fstat(fd), self.path.lstat()):
                    return fd
            except FileNotFoundError:
                pass
            except BlockingIOError:
                os.close(fd)
                raise ConfigurationError(
                    f"{self.path} is being written by another process: wait for it, or name "
                    "another file"
                ) from None
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def reached(self, facts: dict[str, object]) -> int:
        """The position up to which all is durable, of a copy with these facts; else 0."""
        try:
            known = json.loads(self._mark.read_text(encoding="utf-8"))
            position = int(known.pop("reached"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return 0
        same = known == facts and 0 <= position <= os.fstat(self.fd).st_size
        return position if same else 0

    def mark(self, facts: dict[str, object], position: int) -> None:
        """Note up to where all is durable."""
        write_whole(self._mark, json.dumps({**facts, "reached": position}), durable=False)

    def begin(self, size: int = 0) -> None:
        """Throw away what an earlier try has left."""
        self._mark.unlink(missing_ok=True)
        os.ftruncate(self.fd, 0)
        os.ftruncate(self.fd, size)

    def finish(self) -> None:
        """Make the file durable, then give it its name, unless somebody has taken that meanwhile.

        Raises ConfigurationError then, and StoreError if the file system fails.
        """
        try:
            os.fsync(self.fd)
            if not rename_new(self.path, self.output):
                raise _taken(self.output)
            self.discard()
            with suppress(OSError):
                sync(self.output.absolute().parent)
        except OSError as error:
            raise StoreError(f"{self.output} could not be completed: {error}") from error

    def discard(self) -> None:
        """Remove the part and what is known about it."""
        self._mark.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it; further calls do nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> ImagePart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Tell = Callable[[str, float], None]
"""Is told what is being done, `copy` or `compare`, and the part done, 0 to 1."""


def untold(_what: str, _fraction: float) -> None:
    """Nobody watches."""
