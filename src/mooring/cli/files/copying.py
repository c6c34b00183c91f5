"""Copies files and directories out of a snapshot into a new place.

Nothing that exists is written to, and no symbolic link is followed: every name is made new, in a
directory that is held open, so a hostile file system cannot lead out of the place it is copied to.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from mooring.cli.files.file_system import Node
from mooring.cli.files.snapshot_files import SnapshotFiles, printable
from mooring.files import write_sparse
from mooring.model.errors import CommandError, MooringError, UnreadableFileError

PIECE = 1024 * 1024
DEEPEST = 128


class Copier:
    """One copying; `failures` counts what could not be copied, each told on standard error."""

    def __init__(self, files: SnapshotFiles) -> None:
        self._files = files
        self._owner = os.geteuid() == 0
        self._seen: set[object] = set()
        self._depth = 0
        self.failures = 0

    def copy(self, node: Node, folder: str, name: bytes) -> None:
        """Copy a node into an existing folder of this machine, under a new name."""
        try:
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"{folder} cannot be written to: {error.strerror}.") from None
        try:
            self._copy(node, folder_fd, name, name)
        finally:
            os.close(folder_fd)

    def _copy(self, node: Node, folder: int, name: bytes, shown: bytes) -> None:
        try:
            if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
                self._fail(shown, "this name is not possible here")
            elif node.is_directory:
                self._copy_directory(node, folder, name, shown)
            elif node.is_file:
                self._copy_file(node, folder, name)
            elif node.is_symlink:
                os.symlink(self._files.system.target(node), name, dir_fd=folder)
                self._own(node, folder, name)
            else:
                self._fail(shown, "is a device, a FIFO or a socket, and was skipped")
        except UnreadableFileError as error:
            self._fail(shown, str(error))
        except OSError as error:
            self._fail(shown, error.strerror or str(error))
        except (MooringError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - the libraries raise what damage makes them raise
            self._fail(shown, f"cannot be read: {error or type(error).__name__}")

    def _copy_directory(self, node: Node, folder: int, name: bytes, shown: bytes) -> None:
        # A directory is in one place, or a few of them could stand for more than any disk holds.
        if node.identity in self._seen or self._depth >= DEEPEST:
            self._fail(shown, "is in several places, or too deep: the file system is damaged")
            return
        os.mkdir(name, 0o700, dir_fd=folder)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inside = os.open(name, flags, dir_fd=folder)
        self._seen.add(node.identity)
        self._depth += 1
        try:
            for child in self._files.children(node):
                self._copy(child, inside, child.name, shown + b"/" + child.name)
            self._finish(node, inside)
        finally:
            self._depth -= 1
            os.close(inside)

    def _copy_file(self, node: Node, folder: int, name: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=folder)
        whole = False
        try:
            os.ftruncate(fd, node.size)
            if node.size:
                self._copy_content(node, fd)
            self._finish(node, fd)
            whole = True
        finally:
            os.close(fd)
            if not whole:
                # Half a file would be taken for a whole one.
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def _copy_content(self, node: Node, fd: int) -> None:
        source = self._files.system.open(node)
        for begin, end in self._files.system.ranges(node):
            source.seek(begin)
            at = begin
            while at < end:
                self._files.watchdog.alive()
                data = source.read(min(PIECE, end - at))
                if not data:
                    raise CommandError(f"{printable(node.name)} ends early, at byte {at}.")
                write_sparse(fd, at, data)
                at += len(data)

    def _finish(self, node: Node, fd: int) -> None:
        """Owner first: changing it takes special bits away."""
        if self._owner:
            os.fchown(fd, node.uid, node.gid)
            os.fchmod(fd, stat.S_IMODE(node.mode))
        else:
            os.fchmod(fd, stat.S_IMODE(node.mode) & 0o777)
        os.utime(fd, ns=(node.mtime_ns, node.mtime_ns))

    def _own(self, node: Node, folder: int, name: bytes) -> None:
        if self._owner:
            os.chown(name, node.uid, node.gid, dir_fd=folder, follow_symlinks=False)
        times = (node.mtime_ns, node.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)

    def _fail(self, shown: bytes, why: str) -> None:
        self.failures += 1
        sys.stderr.write(f"{printable(shown)}: {why}\n")
