"""The file systems mounted from a block device of this host, frozen by ioctl."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mooring.host.mounts import Mount, mounts_of
from mooring.model.clock import Clock
from mooring.model.counts import counted
from mooring.model.errors import HostError, QuiesceError

_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878


@dataclass(eq=False)
class _Frozen:
    """One file system; freezing it waits for the disk, so it is done in a thread of its own."""

    mount: Mount
    fd: int
    done: threading.Event = field(default_factory=threading.Event)
    error: OSError | None = None

    def freeze(self, begins: Callable[[], None]) -> None:
        try:
            # What is written through now need not be while everybody waits.
            ctypes.CDLL(None).syncfs(self.fd)
            begins()
            fcntl.ioctl(self.fd, _FIFREEZE, 0)
        except OSError as error:
            self.error = error
        self.done.set()

    @property
    def ours(self) -> bool:
        """Whether we have frozen it, or may be about to."""
        return not self.done.is_set() or self.error is None


class FileSystems:
    """All file systems on a device. `spared` are paths whose file system is never frozen."""

    def __init__(self, device: str, spared: Sequence[str], clock: Clock) -> None:
        self.since: float | None = None
        self._device = device
        self._spared = spared
        self._clock = clock
        self._frozen: list[_Frozen] | None = None

    def freeze(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        mounts = self._mounts()
        if not mounts:
            raise QuiesceError(f"no file system on {self._device} is mounted")
        self._frozen = []
        # The last mounted first: it may lie on a file of one mounted earlier.
        for mount in reversed(mounts):
            self._check(mount)
            one = _Frozen(mount, _open(mount))
            self._frozen.append(one)
            threading.Thread(
                target=one.freeze, args=[self._begin], name="freeze", daemon=True
            ).start()
            if not one.done.wait(max(0.0, deadline - self._clock.monotonic())):
                raise QuiesceError(
                    f"the file system at {mount.shown} did not come to rest in "
                    f"{counted(seconds, 'second')}"
                )
            if one.error is not None:
                raise QuiesceError(_reason(mount, one.error))

    def thaw(self, seconds: float) -> bool:
        if self._frozen is None:
            # What another process has frozen, before it was killed.
            self._frozen = []
            for mount in self._mounts():
                done = threading.Event()
                done.set()
                self._frozen.append(_Frozen(mount, _open(mount), done))
        deadline = self._clock.monotonic() + seconds
        held = bool(self._frozen)
        while self._frozen:
            one = self._frozen[-1]
            if not one.done.wait(max(0.0, deadline - self._clock.monotonic())):
                raise QuiesceError(f"the file system at {one.mount.shown} is still coming to rest")
            if one.error is None:
                held = _thaw(one) and held
            else:
                held = False
            os.close(one.fd)
            self._frozen.pop()
        return held

    def _begin(self) -> None:
        if self.since is None:
            self.since = self._clock.monotonic()

    def close(self) -> None:
        for one in self._frozen or []:
            os.close(one.fd)
        self._frozen = None

    def _mounts(self) -> list[Mount]:
        try:
            return mounts_of(self._device)
        except HostError:
            return []  # the device is gone, and what was mounted from it

    def _check(self, mount: Mount) -> None:
        own = Path(mount.reached).stat().st_dev
        for path in map(Path, self._spared):
            if path.exists() and path.stat().st_dev == own:
                raise QuiesceError(
                    f"the file system at {mount.shown} is that of {path}, which Mooring itself "
                    "needs, so it is not frozen"
                )


def _open(mount: Mount) -> int:
    try:
        return os.open(mount.reached, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise QuiesceError(f"{mount.shown} cannot be opened: {error.strerror}") from error


def _thaw(one: _Frozen) -> bool:
    try:
        fcntl.ioctl(one.fd, _FITHAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False  # somebody else has thawed it
        raise QuiesceError(
            f"the file system at {one.mount.shown} cannot be thawed: {error.strerror}"
        ) from error
    return True


def _reason(mount: Mount, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"the file system at {mount.shown} was already frozen by somebody else"
    if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY):
        return f"the file system at {mount.shown} is of a type that cannot be frozen"
    if error.errno == errno.EPERM:
        return f"only root can freeze the file system at {mount.shown}"
    return f"the file system at {mount.shown} cannot be frozen: {error.strerror}"
