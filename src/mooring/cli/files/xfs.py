"""XFS; what is only in its log is not read, but noticed.

Source: "XFS Algorithms & Data Structures", and the kernel's fs/xfs/libxfs/xfs_format.h. All numbers
are big-endian. What cannot be true is refused rather than guessed at.
"""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import Node
from mooring.cli.files.inode import Inode
from mooring.cli.files.mapped_file import MappedFile, Run
from mooring.cli.files.xfs_log import Log, is_clean
from mooring.model.counts import counted
from mooring.model.errors import UnreadableFileError

_FTYPE, _NEEDS_REPAIR = 0x1, 0x10
_KNOWN = 0xFF
"""Also sparse inodes, a meta UUID, exchange of ranges, parent pointers: nothing of that matters."""
_MORE_FEATURES, _V2_FTYPE = 0x8000, 0x200
_INODE_MAGIC = b"IN"
_LOCAL, _EXTENTS, _TREE = 1, 2, 3
_REALTIME = 0x1
_BIGTIME_INODE, _NREXT64_INODE = 0x8, 0x10
_BIGTIME_EPOCH = 2**31
_DIRECTORY_INDEX = 32 * 2**30
"""From this byte of a directory on lie its indexes; before, the entries."""
_DEEPEST = 10
_LONGEST_LINK = 1024
_LARGEST_BLOCK = 65536
_NOTE = (
    "The log of this XFS file system holds changes that are not in their places yet, as in any "
    "that was mounted when the snapshot was taken. They are not read here: what changed in the "
    "last half minute before the snapshot may be missing, old or mixed. A disk made from the "
    "snapshot and mounted has everything."
)


@dataclass(frozen=True)
class XfsInode(Inode):
    """An inode; `fork` says where its content is, or holds it."""

    layout: int
    flags: int
    extents: int
    fork: bytes


class XfsFileSystem:
    """Versions 4 and 5."""

    kind = "xfs"
    folds_case = False

    def __init__(self, stream: ExportStream) -> None:
        self._stream = stream
        stream.seek(0)
        head = stream.read(512)
        value = struct.unpack_from
        (self.block_size,) = value(">I", head, 4)
        (self._root,) = value(">Q", head, 56)
        self._group_blocks, self._groups = value(">II", head, 84)
        (log_blocks,) = value(">I", head, 96)
        version, _, self._inode_size, self._per_block = value(">HHHH", head, 100)
        block_log, _, self._inode_log, self._per_block_log, self._group_log = head[120:125]
        self._directory_block = self.block_size << min(head[192], 16)
        self._new = version & 0xF == 5
        (features,) = value(">I", head, 216) if self._new else (0,)
        more = version & _MORE_FEATURES and value(">I", head, 200)[0] & _V2_FTYPE
        self._types = bool(features & _FTYPE or more)
        if features & ~_KNOWN:
            raise UnreadableFileError(
                f"uses features of XFS that are unknown here ({features & ~_KNOWN:#x}): mount a "
                "disk made from the snapshot"
            )
        sizes = 9 <= block_log <= 16 and self.block_size == 1 << block_log
        inodes = 8 <= self._inode_log <= 11 and self._inode_size == 1 << self._inode_log
        per_block = self._per_block_log == block_log - self._inode_log
        groups = self._groups and 0 < self._group_blocks <= 1 << self._group_log <= 2**32
        if version & 0xF not in (4, 5) or not (sizes and inodes and per_block and groups):
            raise UnreadableFileError("has an impossible superblock")
        self.note = self._told(head, log_blocks, bool(features & _NEEDS_REPAIR))

    def _told(self, head: bytes, log_blocks: int, broken: bool) -> str:
        if broken:
            return "This XFS file system reports that it needs xfs_repair."
        (start,) = struct.unpack_from(">Q", head, 48)
        if not start:
            return "The log is on another device: the latest changes may be missing."
        log = Log(self._stream, self._place(start), log_blocks * self.block_size)
        return "" if is_clean(log) else _NOTE

    def root(self) -> Node:
        return self._inode(self._root).node(b"")

    def children(self, node: Node) -> Iterator[Node]:
        inode: XfsInode = node.inner
        entries = self._short(inode) if inode.layout == _LOCAL else self._long(inode)
        for number, name in entries:
            if name not in (b".", b".."):
                yield self._inode(number).node(name)

    def target(self, node: Node) -> bytes:
        inode: XfsInode = node.inner
        if inode.size > _LONGEST_LINK:
            raise UnreadableFileError("is damaged: no link can be that long")
        if inode.layout == _LOCAL:
            return inode.fork[: inode.size]
        parts = []
        for run in self._runs(inode):
            # Each piece has a header of its own in version 5.
            data = self._read(run.place, min(run.length, _LARGEST_BLOCK))
            parts.append(data[56:] if self._new and data.startswith(b"XSLM") else data)
        return b"".join(parts)[: inode.size]

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        if node.inner.layout == _LOCAL:
            yield 0, node.size
        else:
            yield from self._mapped(node.inner).ranges()

    def open(self, node: Node) -> Any:
        inode: XfsInode = node.inner
        if inode.layout != _LOCAL:
            return self._mapped(inode)
        if inode.size > len(inode.fork):
            raise UnreadableFileError("is damaged: it is shorter than it claims")
        return io.BytesIO(inode.fork[: inode.size])

    def _mapped(self, inode: XfsInode) -> MappedFile:
        if stat.S_ISREG(inode.mode) and inode.flags & _REALTIME:
            raise UnreadableFileError("is in XFS's realtime part, which is not read here")
        return MappedFile(self._stream, self._runs(inode), inode.size)

    # --- where things are -------------------------------------------------------------------

    def _place(self, block: int) -> int:
        """The byte where a block lies, by its number: allocation group, and block in it."""
        group, within = block >> self._group_log, block & ((1 << self._group_log) - 1)
        if group >= self._groups or within >= self._group_blocks:
            raise UnreadableFileError("is damaged: it claims to be where nothing can be")
        place: int = (group * self._group_blocks + within) * self.block_size
        return place

    def _read(self, place: int, length: int) -> bytes:
        self._stream.seek(place)
        data = self._stream.read(length)
        if len(data) < length:
            raise UnreadableFileError("is damaged: part of it lies beyond the end of the disk")
        return data

    def _inode(self, number: int) -> XfsInode:
        block, index = number >> self._per_block_log, number & (self._per_block - 1)
        raw = self._read(self._place(block) + index * self._inode_size, self._inode_size)
        mode, version, layout = struct.unpack_from(">HBB", raw, 2)
        (own,) = struct.unpack_from(">Q", raw, 152) if version == 3 else (number,)
        if raw[:2] != _INODE_MAGIC or not mode or own != number:
            raise UnreadableFileError(
                f"is damaged, or was made just before the snapshot: inode {number} is not there"
            )
        uid, gid = struct.unpack_from(">II", raw, 8)
        size, _, _, extents, _, fork_units = struct.unpack_from(">QQIIHB", raw, 56)
        (flags,) = struct.unpack_from(">H", raw, 90)
        begin = 176 if version == 3 else 100
        newer = struct.unpack_from(">Q", raw, 120)[0] if version == 3 else 0
        if newer & _NREXT64_INODE:
            (extents,) = struct.unpack_from(">Q", raw, 24)
        seconds, nanoseconds = struct.unpack_from(">iI", raw, 40)
        mtime = seconds * 10**9 + nanoseconds
        if newer & _BIGTIME_INODE:
            mtime = struct.unpack_from(">Q", raw, 40)[0] - _BIGTIME_EPOCH * 10**9
        end = begin + fork_units * 8 if fork_units else len(raw)
        fork = raw[begin:end]
        return XfsInode(number, mode, uid, gid, size, mtime, layout, flags, extents, fork)

    # --- what files consist of --------------------------------------------------------------

    def _runs(self, inode: XfsInode) -> Iterator[Run]:
        if inode.layout == _EXTENTS:
            records = self._records(inode.fork, 0, inode.extents)
        elif inode.layout == _TREE:
            records = self._tree(inode.fork)
        else:
            raise UnreadableFileError("is damaged: its content cannot be located")
        found, upto = 0, 0
        for at, place, count, written in records:
            if at < upto or not count:
                raise UnreadableFileError("is damaged: its extents are out of order")
            found, upto = found + 1, at + count
            if written:
                size = self.block_size
                yield Run(at * size, self._place(place), count * size)
        if found != inode.extents:
            raise UnreadableFileError(
                f"is damaged, or was changed just before the snapshot: it has "
                f"{counted(found, 'extent')} of {inode.extents}"
            )

    def _records(self, data: bytes, at: int, count: int) -> Iterator[tuple[int, int, int, bool]]:
        """Block of the file, block of the disk, number of blocks, whether they were written."""
        if at + 16 * count > len(data):
            raise UnreadableFileError("is damaged: it has more extents than can fit")
        for number in range(count):
            high, low = struct.unpack_from(">QQ", data, at + 16 * number)
            begin = (high >> 9) & (2**54 - 1)
            place = (high & 0x1FF) << 43 | low >> 21
            yield begin, place, low & (2**21 - 1), not high >> 63

    def _tree(self, fork: bytes) -> Iterator[tuple[int, int, int, bool]]:
        """The records of a tree of which the root is in the inode."""
        level, count = struct.unpack_from(">HH", fork)
        pointers = 4 + (len(fork) - 4) // 16 * 8
        if not 0 < level <= _DEEPEST or pointers + 8 * count > len(fork):
            raise UnreadableFileError("is damaged: its extent tree is not one")
        for number in range(count):
            (block,) = struct.unpack_from(">Q", fork, pointers + 8 * number)
            yield from self._branch(block, level - 1)

    def _branch(self, block: int, expected: int) -> Iterator[tuple[int, int, int, bool]]:
        data = self._read(self._place(block), self.block_size)
        level, count = struct.unpack_from(">HH", data, 4)
        header = 72 if self._new else 24
        pointers = header + (len(data) - header) // 16 * 8
        magic = b"BMA3" if self._new else b"BMAP"
        if not data.startswith(magic) or level != expected or not count:
            raise UnreadableFileError("is damaged: its extent tree is not one")
        if not level:
            yield from self._records(data, header, count)
            return
        if pointers + 8 * count > len(data):
            raise UnreadableFileError("is damaged: its extent tree is not one")
        for number in range(count):
            (below,) = struct.unpack_from(">Q", data, pointers + 8 * number)
            yield from self._branch(below, level - 1)

    def _short(self, inode: XfsInode) -> Iterator[tuple[int, bytes]]:
        """The entries of a directory that is in its inode."""
        data = inode.fork[: inode.size]
        count, long = data[0], data[1] > 0
        width = 8 if long else 4
        at = 2 + width
        for _ in range(count):
            length = data[at]
            name = data[at + 3 : at + 3 + length]
            at += 3 + length + self._types
            number = int.from_bytes(data[at : at + width], "big")
            at += width
            if at > len(data) or not length:
                raise UnreadableFileError("is damaged: its entries are out of order")
            yield number, name

    def _long(self, inode: XfsInode) -> Iterator[tuple[int, bytes]]:
        """The entries of a directory that has blocks."""
        size = self._directory_block
        runs = list(self._runs(inode))
        file = MappedFile(self._stream, runs, _DIRECTORY_INDEX)
        done = -1
        for run in runs:
            for number in range(run.at // size, -(-run.end // size)):
                if number > done and number * size < _DIRECTORY_INDEX:
                    file.seek(number * size)
                    yield from self._block_entries(file.read(size))
                    done = number

    def _block_entries(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        magic, end = data[:4], len(data)
        if magic in (b"XD2B", b"XDB3"):
            # One block alone has its index at its end.
            end -= 8 + 8 * int.from_bytes(data[-8:-4], "big")
        elif magic not in (b"XD2D", b"XDD3"):
            raise UnreadableFileError("is damaged: it has something other than entries")
        at = 64 if magic.endswith(b"3") else 16
        while at < end:
            if data[at : at + 2] == b"\xff\xff":
                step = int.from_bytes(data[at + 2 : at + 4], "big")
                if step < 8 or step % 8:
                    raise UnreadableFileError("is damaged: its entries are out of order")
                at += step
                continue
            length = data[at + 8] if at + 12 <= end else 0
            step = (8 + 1 + length + self._types + 2 + 7) // 8 * 8
            if not length or at + step > end:
                raise UnreadableFileError("is damaged: its entries are out of order")
            yield int.from_bytes(data[at : at + 8], "big"), data[at + 9 : at + 9 + length]
            at += step
