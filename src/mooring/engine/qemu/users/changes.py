"""Reports which of some files are written to, by the kernel's inotify."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_IN_MODIFY = 0x2
_EVENT = struct.Struct("iIII")  # struct inotify_event, without its name (inotify(7))
_BUFFER_BYTES = 64 * 1024


class Changes:
    """Watches files; `fd` becomes readable when one of them changes."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._checked(
            self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1"
        )

    def watch(self, path: Path) -> int:
        """Watch a file and return the watch's number. Raises OSError."""
        name = os.fsencode(path)
        number = self._libc.inotify_add_watch(self.fd, name, _IN_MODIFY)
        return self._checked(number, str(path))

    def forget(self, number: int) -> None:
        """Watch a file no more; one that was removed meanwhile is no error."""
        self._libc.inotify_rm_watch(self.fd, number)

    def read(self) -> set[int]:
        """The numbers of the files that have changed since."""
        try:
            data = os.read(self.fd, _BUFFER_BYTES)
        except BlockingIOError:
            return set()
        found, offset = set(), 0
        while offset < len(data):
            number, _, _, length = _EVENT.unpack_from(data, offset)
            found.add(number)
            offset += _EVENT.size + length
        return found

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self.fd)

    @staticmethod
    def _checked(result: int, what: str) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)
        return result
