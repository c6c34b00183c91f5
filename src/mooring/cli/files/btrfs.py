"""btrfs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from dissect.btrfs import Btrfs

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import Node


class BtrfsFileSystem:
    """btrfs as of its last commit, from its default subvolume on."""

    kind = "btrfs"
    note = (
        "btrfs is read as of its last commit: what was synchronised in the half minute before the "
        "snapshot may be missing. A disk made from the snapshot has it."
    )
    folds_case = False

    def __init__(self, stream: ExportStream) -> None:
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
