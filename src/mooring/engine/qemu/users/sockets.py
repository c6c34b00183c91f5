"""The connections that a storage daemon has accepted, and each one's process."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mooring.host.processes.process_stat import started_at
from mooring.relay.marks import Remote, remote_of

_PIDFD_GETFD = 438  # on every architecture but alpha (pidfd_getfd(2), Linux 5.6)
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that connected. `pid` is 0 if it is not seen from here.

    `started` is in the kernel's clock ticks since boot: it tells a pid that is used again.
    `remote` is the client on another host for which one of the relay's processes did.
    """

    pid: int
    uid: int
    started: int
    remote: Remote | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One accepted connection: its inode names it, `fd` is its number in the daemon."""

    inode: int
    fd: int
    peer: Peer


class Sockets:
    """The sockets of one daemon process. Not for several threads at once.

    The daemon's descriptors are copied for a moment only (pidfd_getfd): a copy that stayed open
    would hide the daemon's death from its clients.
    """

    def __init__(self, pid: int, pidfd: int, listening: Path) -> None:
        """`listening` is the path at which the daemon's NBD socket was bound."""
        self._pid = pid
        self._pidfd = pidfd
        self._bound = os.fsencode(listening)
        self._others: set[int] = set()
        self._links: dict[int, Link] = {}

    def links(self) -> dict[int, Link]:
        """The accepted connections by inode, oldest first.

        Raises OSError: ProcessLookupError when the daemon is gone, PermissionError where the
        kernel does not let us look (ptrace(2), `kernel.yama.ptrace_scope`).
        """
        found = {}
        for inode, fd in self._sockets():
            if inode in self._others:
                continue
            link = self._links.get(inode) or self._link(inode, fd)
            if link is None:
                self._others.add(inode)
            else:
                found[inode] = link
        self._links = dict(sorted(found.items()))
        return dict(self._links)

    def cut(self, link: Link) -> None:
        """End a connection for both sides; one that is gone already is no error."""
        with self._copy(link.fd) as copied:
            if copied is not None and os.fstat(copied.fileno()).st_ino == link.inode:
                copied.shutdown(socket.SHUT_RDWR)

    def _link(self, inode: int, fd: int) -> Link | None:
        with self._copy(fd) as copied:
            if copied is None or not self._is_ours(copied) or _accepts(copied):
                return None
            if os.fstat(copied.fileno()).st_ino != inode:
                return None
            credentials = copied.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            pid, uid, _ = _CREDENTIALS.unpack(credentials)
            return Link(inode, fd, Peer(pid, uid, started_at(pid), self._remote(copied, uid)))

    def _remote(self, copied: socket.socket, uid: int) -> Remote | None:
        if uid != os.geteuid():
            return None  # the relay's processes are this user's
        try:
            name = copied.getpeername()
        except OSError:
            return None
        return remote_of(Path(os.fsdecode(self._bound)).parent, name)

    def _is_ours(self, copied: socket.socket) -> bool:
        if copied.family != socket.AF_UNIX:
            return False
        try:
            return os.fsencode(copied.getsockname()) == self._bound
        except OSError:
            return False

    def _sockets(self) -> Iterator[tuple[int, int]]:
        folder = Path(f"/proc/{self._pid}/fd")
        for name in os.listdir(folder):  # noqa: PTH208 - thousands of times, and names suffice
            try:
                target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                yield int(target[8:-1]), int(name)

    @contextmanager
    def _copy(self, fd: int) -> Iterator[socket.socket | None]:
        copied = ctypes.CDLL(None, use_errno=True).syscall(_PIDFD_GETFD, self._pidfd, fd, 0)
        if copied < 0:
            number = ctypes.get_errno()
            error = OSError(number, os.strerror(number))
            if isinstance(error, ProcessLookupError | PermissionError):
                raise error
            yield None  # closed meanwhile
            return
        try:
            copy = socket.socket(fileno=copied)
        except OSError:
            os.close(copied)
            yield None  # the number stands for something else by now
            return
        with copy:
            yield copy


def command_of(peer: Peer) -> str | None:
    """The name of the process' program; None if it has ended, or is not seen from here."""
    if peer.pid <= 0 or started_at(peer.pid) != peer.started:
        return None
    try:
        words = Path(f"/proc/{peer.pid}/cmdline").read_bytes().split(b"\0")
        name = words[0].rpartition(b"/")[2] or Path(f"/proc/{peer.pid}/comm").read_bytes().strip()
    except OSError:
        return None
    return name.decode(errors="replace")


def _accepts(copied: socket.socket) -> bool:
    return bool(copied.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
