"""btrfs as of its last commit; the reading itself is dissect's."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any

from dissect.btrfs import Btrfs

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import Node
from mooring.model.counts import counted
from mooring.model.errors import UnreadableFileError

_SUPERBLOCK = 0x10000
_NOTE = (
    "The log tree of this btrfs file system holds what was synchronised since its last commit, at "
    "most half a minute before the snapshot; it is not read here. A disk made from the snapshot "
    "and mounted has it."
)


class BtrfsFileSystem:
    """btrfs as of its last commit, from its default subvolume on."""

    kind = "btrfs"
    folds_case = False

    def __init__(self, stream: ExportStream) -> None:
        stream.seek(_SUPERBLOCK)
        head = stream.read(4096)
        (log_root,) = struct.unpack_from("<Q", head, 96)
        (devices,) = struct.unpack_from("<Q", head, 136)
        if devices != 1:
            raise UnreadableFileError(
                f"is btrfs on {counted(devices, 'device')}, of which this is one: make disks from "
                "the "
                "snapshots of all of them"
            )
        self.note = _NOTE if log_root else ""
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
