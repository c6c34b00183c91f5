"""Giving a base the very blocks of overlays, where the file system can share them.

Nothing is read or written then. Short runs are left to be copied: a base of many short extents
would be read slowly ever after.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mooring.model.extents import BLOCK_SIZE

LEAST_BLOCKS = 256
"""Shorter runs are not shared: 1 MiB."""

_MOST = 64 * 1024 * 1024
"""Bytes shared at once: nobody reads from the base meanwhile."""

_FICLONERANGE = 0x4020940D
_RANGE = struct.Struct("=qQQQ")
"""struct file_clone_range: file, offset and length there, offset here (ioctl_ficlonerange(2))."""

_CANNOT = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)


class Cloning:
    """Shares blocks with one base, until its file system says that it cannot."""

    def __init__(self, base: int, between: Callable[[], None]) -> None:
        """`between` is called before each piece, and ends the work by raising."""
        self._base = base
        self._between = between
        self._may = True

    def share(
        self, offsets: NDArray[np.int64], files: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Share what is long enough of these blocks; which of them the base has now.

        For each block of `BLOCK_SIZE` bytes there is where it is in the base, in which file it is
        found, and where. Raises OSError, and whatever `between` raises.
        """
        shared = np.zeros(len(offsets), dtype=bool)
        if not self._may or len(offsets) < LEAST_BLOCKS:
            return shared
        same = (np.diff(offsets) == BLOCK_SIZE) & (np.diff(places) == BLOCK_SIZE)
        breaks = np.flatnonzero(~(same & (np.diff(files) == 0))) + 1
        starts = np.concatenate(([0], breaks))
        lengths = np.diff(starts, append=len(offsets))
        long = lengths >= LEAST_BLOCKS
        for start, length in zip(starts[long].tolist(), lengths[long].tolist(), strict=True):
            where = int(files[start]), int(places[start]), int(offsets[start])
            if not self._run(*where, length * BLOCK_SIZE):
                break
            shared[start : start + length] = True
        return shared

    def _run(self, file: int, place: int, offset: int, length: int) -> bool:
        for done in range(0, length, _MOST):
            self._between()
            piece = min(_MOST, length - done)
            asked = _RANGE.pack(file, place + done, piece, offset + done)
            try:
                fcntl.ioctl(self._base, _FICLONERANGE, asked)
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._may = False
                return False
        return True
