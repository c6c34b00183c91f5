"""The file systems that can be read, behind one face; the reading itself is dissect's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Protocol

from mooring.cli.files.export_stream import ExportStream
from mooring.model.errors import CommandError

KINDS = ("ext4", "xfs", "btrfs", "vfat")

RECOVER = 4
"""ext's feature bit: the journal holds what has not been written to its place yet."""


@dataclass(frozen=True)
class Node:
    """A file, a directory, or something else. `name` may hold any bytes; times are ns."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    identity: object
    inner: Any

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)


class FileSystem(Protocol):
    """What `ls` and `cp` need. Raises whatever the library raises when it is damaged."""

    kind: str
    note: str
    """What the user should know about how current it is; empty for nothing."""
    folds_case: bool
    """Whether names that differ in case only are the same."""

    def root(self) -> Node: ...

    def children(self, node: Node) -> Iterator[Node]:
        """The entries of a directory, without `.` and `..`."""
        ...

    def target(self, node: Node) -> bytes:
        """Where a symbolic link leads."""
        ...

    def ranges(self, node: Node) -> Iterable[tuple[int, int]]:
        """Begin and end of the parts of a file that may hold something but zeros."""
        ...

    def open(self, node: Node) -> Any:
        """A file object with seek and read."""
        ...


def kind_of(stream: ExportStream) -> str | None:
    """The kind of the file system that begins there, if it is one of those known."""
    stream.seek(0)
    head = stream.read(4096)
    if len(head) < 4096:
        return None
    if head.startswith(b"XFSB"):
        return "xfs"
    if head[1080:1082] == b"\x53\xef":
        return "ext4"
    stream.seek(0x10040)
    if stream.read(8) == b"_BHRfS_M":
        return "btrfs"
    fat = head[54:57] == b"FAT" or head[82:85] == b"FAT"
    if fat and head[510:512] == b"\x55\xaa" and head[0] in (0xEB, 0xE9):
        return "vfat"
    return None


def open_file_system(stream: ExportStream, kind: str) -> FileSystem:
    """Read the file system that begins there. Raises CommandError if the library is missing."""
    try:
        if kind == "ext4":
            return ExtFileSystem(stream)
        if kind == "xfs":
            return XfsFileSystem(stream)
        return BtrfsFileSystem(stream) if kind == "btrfs" else FatFileSystem(stream)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("dissect"):
            raise
        raise CommandError(
            "Reading file systems needs the packages of dissect: pip install 'mooring[files]'"
        ) from None


class _InodeFileSystem:
    """What the libraries for ext and XFS have in common."""

    block_size: int
    folds_case = False

    def children(self, node: Node) -> Iterator[Node]:
        for inode in node.inner.iterdir():
            if inode.filename not in (".", ".."):
                yield self.node(os.fsencode(inode.filename), inode)

    def node(self, name: bytes, inode: Any) -> Node:
        raise NotImplementedError

    def target(self, node: Node) -> bytes:
        return os.fsencode(node.inner.link)

    def runs(self, node: Node) -> Iterable[tuple[Any, int]]:
        """Place, None for a hole, and number of blocks."""
        raise NotImplementedError

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        at = 0
        for place, count in self.runs(node):
            if place is not None and at < node.size:
                yield at, min(at + count * self.block_size, node.size)
            at += count * self.block_size

    def open(self, node: Node) -> Any:
        return node.inner.open()


class ExtFileSystem(_InodeFileSystem):
    """ext2, ext3 and ext4, with what is in the journal only."""

    kind = "ext4"
    note = ""

    def __init__(self, stream: ExportStream) -> None:
        from dissect.extfs import ExtFS

        from mooring.cli.files.ext_journal import Journal

        self._inner = ExtFS(stream)
        number = self._inner.sb.s_journal_inum
        if self._inner.sb.s_feature_incompat & RECOVER and number:
            journal = Journal(self._inner.get_inode(number).open())
            if journal.blocks and journal.block_size == self._inner.block_size:
                stream.change(journal.blocks, journal.block_size)
                self._inner = ExtFS(stream)
        self.block_size = self._inner.block_size

    def root(self) -> Node:
        return self.node(b"", self._inner.root)

    def node(self, name: bytes, inode: Any) -> Node:
        raw = inode.inode
        return Node(
            name,
            raw.i_mode,
            raw.i_uid | raw.i_uid_high << 16,
            raw.i_gid | raw.i_gid_high << 16,
            inode.size,
            inode.mtime_ns,
            inode.inum,
            inode,
        )

    def runs(self, node: Node) -> Iterable[tuple[Any, int]]:
        inline = 0x10000000
        if node.inner.inode.i_flags & inline:
            return [(0, -(-node.size // self.block_size))]
        runs: Iterable[tuple[Any, int]] = node.inner.dataruns()
        return runs


class XfsFileSystem(_InodeFileSystem):
    """XFS as of its last checkpoint: the log is not replayed."""

    kind = "xfs"
    note = (
        "XFS keeps the latest changes in a log, which is not read: files changed in the last half "
        "minute before the snapshot may be missing or old. A disk made from the snapshot has them."
    )

    def __init__(self, stream: ExportStream) -> None:
        from dissect.xfs import XFS

        self._inner = XFS(stream)
        self.block_size = self._inner.block_size

    def root(self) -> Node:
        return self.node(b"", self._inner.root)

    def node(self, name: bytes, inode: Any) -> Node:
        raw = inode.inode
        return Node(
            name,
            raw.di_mode,
            raw.di_uid,
            raw.di_gid,
            inode.size,
            inode.mtime_ns,
            inode.inum,
            inode,
        )

    def runs(self, node: Node) -> Iterable[tuple[Any, int]]:
        if node.inner.inode.di_format == 1:
            return [(0, -(-node.size // self.block_size))]
        runs: Iterable[tuple[Any, int]] = node.inner.dataruns
        return runs


class BtrfsFileSystem:
    """btrfs as of its last commit, from its default subvolume on."""

    kind = "btrfs"
    note = (
        "btrfs is read as of its last commit: what was synchronised in the half minute before the "
        "snapshot may be missing. A disk made from the snapshot has it."
    )
    folds_case = False

    def __init__(self, stream: ExportStream) -> None:
        from dissect.btrfs import Btrfs

        self._inner = Btrfs(stream)

    def root(self) -> Node:
        return self._node(b"", self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        for name, inode in node.inner.iterdir():
            if name not in (".", ".."):
                yield self._node(os.fsencode(name), inode)

    def target(self, node: Node) -> bytes:
        return os.fsencode(node.inner.link)

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        extents = node.inner.extents()
        if extents is None:
            yield 0, node.size
            return
        at = 0
        for extent in extents:
            if extent.disk_offset and at < node.size:
                yield at, min(at + extent.length, node.size)
            at += extent.length

    def open(self, node: Node) -> Any:
        return node.inner.open()

    def _node(self, name: bytes, inode: Any) -> Node:
        identity = (inode.subvolume.objectid, inode.inum)
        return Node(
            name,
            inode.mode,
            inode.uid,
            inode.gid,
            inode.size,
            inode.mtime_ns,
            identity,
            inode,
        )


class FatFileSystem:
    """FAT12, FAT16 and FAT32; it knows no owners and no modes."""

    kind = "vfat"
    note = ""
    folds_case = True

    def __init__(self, stream: ExportStream) -> None:
        from dissect.fat import FATFS

        self._inner = FATFS(stream)

    def root(self) -> Node:
        return Node(b"", stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        for entry in node.inner.iterdir():
            if entry.name not in (".", "..") and not entry.is_volume_id():
                yield self._node(entry)

    def target(self, node: Node) -> bytes:
        raise CommandError(f"{node.name!r} is not a symbolic link.")

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        if node.size:
            yield 0, node.size

    def open(self, node: Node) -> Any:
        return node.inner.open()

    def _node(self, entry: Any) -> Node:
        directory = entry.is_directory()
        mode = stat.S_IFDIR | 0o755 if directory else stat.S_IFREG | 0o644
        try:
            mtime = round(entry.mtime.replace(tzinfo=UTC).timestamp() * 1e9)
        except ValueError:
            mtime = 0
        return Node(
            _fat_name(entry).encode("utf-8", "surrogatepass"),
            mode,
            0,
            0,
            0 if directory else entry.size,
            mtime,
            entry.cluster,
            entry,
        )


def _fat_name(entry: Any) -> str:
    """The name; two bits say that a short one is written in small letters."""
    name = str(entry.name)
    if name != entry.short_name:
        return name
    base, dot, extension = name.partition(".")
    bits = entry.dirent.DIR_NTRes
    return (
        (base.lower() if bits & 8 else base) + dot + (extension.lower() if bits & 16 else extension)
    )
