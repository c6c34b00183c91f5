"""btrfs as of its last commit; the reading itself is dissect's."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from dissect.btrfs import Btrfs, btrfs, stream, tree
from dissect.btrfs.c_btrfs import c_btrfs

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
_HIGHEST = 7
_SMALLEST = 25
"""Bytes of an item in a leaf."""
_MOST_NODES = 1000
"""How many nodes a search may look at: one for each level, and neighbours."""
_LARGEST_EXTENT = 128 * 1024
"""Bytes that are compressed at a time."""
_LONGEST_LINK = 4095


class _Cursor(tree.Cursor):  # type: ignore[misc]
    """Goes through a tree, of which the keys have to rise: dissect follows circles forever."""

    _left = _MOST_NODES

    def push(self, address: int, initial_index: int = 0) -> None:
        above = self._header
        super().push(address, initial_index)
        self._left -= 1
        level, count = self._header.level, self._header.nritems
        expected = level <= _HIGHEST if above is None else level == above.level - 1
        fits = 0 < count <= (len(self._node) - len(c_btrfs.btrfs_header)) // _SMALLEST
        if not (self._left and expected and fits):
            raise UnreadableFileError("is damaged: a tree of it is none")

    def search(self, *wanted: int | None) -> bool:
        self._left = _MOST_NODES
        return bool(super().search(*wanted))

    def next(self) -> None:
        before = _place(self.item().key)
        self._left = _MOST_NODES
        super().next()
        if _place(self.item().key) <= before:
            raise UnreadableFileError("is damaged: the keys of a tree are in disorder")


def _place(key: Any) -> tuple[int, int, int]:
    return key.objectid, key.type, key.offset


def _decoded(data: bytes, compression: int, encryption: int, sector_size: int) -> bytes:
    """As of dissect, but a little that was compressed cannot fill the memory."""
    if len(data) > _LARGEST_EXTENT:
        raise UnreadableFileError("is damaged: what is compressed in one piece is too long")
    if compression == c_btrfs.BTRFS_COMPRESS_ZLIB:
        return zlib.decompressobj().decompress(data, _LARGEST_EXTENT)
    if compression == c_btrfs.BTRFS_COMPRESS_ZSTD and stream.HAS_ZSTD:
        return bytes(stream.zstd.ZstdDecompressor().decompress(data, _LARGEST_EXTENT))
    return bytes(_decode(data, compression, encryption, sector_size))


# Dissect has no places to put these in.
_decode = stream.decode_extent
stream.decode_extent = btrfs.decode_extent = _decoded
tree.Cursor = _Cursor


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
        self._size = stream.size
        self._inner = Btrfs(stream)

    def root(self) -> Node:
        return self._node(b"", self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        for name, inode in node.inner.iterdir():
            if name not in (".", ".."):
                yield self._node(os.fsencode(name), inode)

    def target(self, node: Node) -> bytes:
        if node.size > _LONGEST_LINK:
            raise UnreadableFileError("is damaged: no link can be that long")
        return os.fsencode(node.inner.link)

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        extents = node.inner.extents()
        if extents is None:
            yield 0, node.size
            return
        at = 0
        for extent in extents:
            if extent.disk_offset and extent.length > self._size:
                raise UnreadableFileError("is damaged: a part of it is longer than the disk")
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
