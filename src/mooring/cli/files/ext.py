"""ext2, ext3 and ext4, including what is only in their journal.

Source: the kernel's Documentation/filesystems/ext4. What cannot be true is refused rather than
guessed at: a copy that is wrong is worse than none.
"""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.ext_journal import Journal
from mooring.cli.files.file_system import Node
from mooring.cli.files.inode import Inode
from mooring.cli.files.mapped_file import MappedFile, Run
from mooring.model.errors import UnreadableFileError

_FILETYPE, _RECOVER, _META_BG, _64BIT = 0x2, 0x4, 0x10, 0x80
_KNOWN = {
    "filetype": _FILETYPE, "recover": _RECOVER, "meta_bg": _META_BG, "extents": 0x40,
    "64bit": _64BIT, "mmp": 0x100, "flex_bg": 0x200, "ea_inode": 0x400, "csum_seed": 0x2000,
    "large_dir": 0x4000, "inline_data": 0x8000, "encrypt": 0x10000, "casefold": 0x20000,
}  # fmt: skip
_SPARSE_SUPER, _SPARSE_SUPER2 = 0x1, 0x200
_COMPRESSED, _ENCRYPTED, _EXTENTS, _INLINE = 0x4, 0x800, 0x80000, 0x10000000
_EXTENT_MAGIC, _ATTRIBUTES_MAGIC = 0xF30A, 0xEA020000
_ROOT = 2
_DEEPEST = 5
_WRITTEN = 0x8000
"""Extents longer than this are reserved, not written: zeros."""
_LONGEST_LINK = 4096


@dataclass(frozen=True)
class ExtInode(Inode):
    """An inode; `block` are the 60 bytes that say where its content is, or hold it."""

    flags: int
    block: bytes
    extra: bytes
    """What lies behind the known fields: attributes."""


class ExtFileSystem:
    """The journal's blocks are read instead of those in their places; nothing is written."""

    kind = "ext4"
    folds_case = False

    def __init__(self, stream: ExportStream) -> None:
        self._stream = stream
        self.note = ""
        self._read_superblock()
        number = struct.unpack_from("<I", self._super, 224)[0]
        if not self._incompat & _RECOVER:
            return
        if not number:
            self.note = "The journal is on another device: the latest changes are missing."
            return
        journal = Journal(self.open_inode(self._inode(number)))
        if journal.blocks and journal.block_size == self.block_size:
            stream.change(journal.blocks, journal.block_size)
            self._descriptors.clear()
            self._read_superblock()

    def root(self) -> Node:
        return self._inode(_ROOT).node(b"")

    def children(self, node: Node) -> Iterator[Node]:
        inode: ExtInode = node.inner
        if inode.flags & _ENCRYPTED:
            raise UnreadableFileError("is encrypted")
        if inode.flags & _INLINE:
            data = self._inline(inode)
            # First the parent's number; the attribute's part has entries of its own.
            areas = iter((data[4:60], data[60:]))
        else:
            areas = self._directory_blocks(inode)
        for area in areas:
            for number, name in self._entries(area):
                if name not in (b".", b".."):
                    yield self._inode(number).node(name)

    def target(self, node: Node) -> bytes:
        inode: ExtInode = node.inner
        if inode.flags & _ENCRYPTED:
            raise UnreadableFileError("is encrypted")
        if inode.size > _LONGEST_LINK:
            raise UnreadableFileError("is damaged: no link can be that long")
        if inode.size < 60 and not inode.flags & (_EXTENTS | _INLINE):
            return inode.block[: inode.size]
        content: bytes = self.open_inode(inode).read()
        return content

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        inode: ExtInode = node.inner
        if inode.flags & _INLINE:
            yield 0, inode.size
        else:
            yield from self._mapped(inode).ranges()

    def open(self, node: Node) -> Any:
        return self.open_inode(node.inner)

    def open_inode(self, inode: ExtInode) -> Any:
        if inode.flags & (_ENCRYPTED | _COMPRESSED):
            raise UnreadableFileError("is encrypted or compressed")
        if inode.flags & _INLINE:
            return io.BytesIO(self._inline(inode))
        return self._mapped(inode)

    def _mapped(self, inode: ExtInode) -> MappedFile:
        if inode.flags & _EXTENTS:
            runs = self._extents(inode.block, None, [0])
        else:
            runs = self._pointers(inode)
        return MappedFile(self._stream, runs, inode.size)

    # --- where things are -------------------------------------------------------------------

    def _read_superblock(self) -> None:
        self._stream.seek(1024)
        self._super = self._stream.read(1024)
        value = struct.unpack_from
        (inodes,) = value("<I", self._super, 0)
        (log_size,) = value("<I", self._super, 24)
        (self._incompat,) = value("<I", self._super, 96)
        unknown = self._incompat & ~sum(_KNOWN.values())
        if unknown:
            raise UnreadableFileError(
                f"uses features of ext4 that are unknown here ({unknown:#x}): mount a disk made "
                "from the snapshot"
            )
        if log_size > 6:
            raise UnreadableFileError("has an impossible superblock")
        self.block_size = 1024 << log_size
        self._inodes = inodes
        (self._first_data,) = value("<I", self._super, 20)
        (self._blocks_per_group,) = value("<I", self._super, 32)
        (self._inodes_per_group,) = value("<I", self._super, 40)
        (revision,) = value("<I", self._super, 76)
        self._inode_size = value("<H", self._super, 88)[0] if revision else 128
        size = value("<H", self._super, 254)[0] if self._incompat & _64BIT else 32
        self._descriptor_size = size or 32
        good = self._inodes_per_group and self._blocks_per_group and 32 <= size <= 1024
        if not good or not 128 <= self._inode_size <= self.block_size:
            raise UnreadableFileError("has an impossible superblock")
        self._descriptors: dict[int, bytes] = {}

    def _inode(self, number: int) -> ExtInode:
        if not 1 <= number <= self._inodes:
            raise UnreadableFileError(f"is damaged: there is no inode {number}")
        group, index = divmod(number - 1, self._inodes_per_group)
        descriptor = self._descriptor(group)
        (table,) = struct.unpack_from("<I", descriptor, 8)
        if len(descriptor) >= 64:
            table |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        self._stream.seek(table * self.block_size + index * self._inode_size)
        raw = self._stream.read(self._inode_size)
        if len(raw) < self._inode_size or not table:
            raise UnreadableFileError(f"is damaged: inode {number} has an impossible place")
        return self._parsed(number, raw)

    def _parsed(self, number: int, raw: bytes) -> ExtInode:
        mode, uid, size, _, _, mtime = struct.unpack_from("<HHIIIi", raw, 0)
        (gid,) = struct.unpack_from("<H", raw, 24)
        (flags,) = struct.unpack_from("<I", raw, 32)
        high, (uid_high, gid_high) = raw[108:112], struct.unpack_from("<HH", raw, 120)
        if stat.S_ISREG(mode):
            size |= int.from_bytes(high, "little") << 32
        nanoseconds, extra = 0, b""
        if len(raw) > 128:
            (known,) = struct.unpack_from("<H", raw, 128)
            if known >= 12 and 128 + known <= len(raw):
                (more,) = struct.unpack_from("<I", raw, 136)
                mtime += (more & 3) << 32
                nanoseconds = more >> 2
            extra = raw[128 + known :]
        return ExtInode(
            number,
            mode,
            uid | uid_high << 16,
            gid | gid_high << 16,
            size,
            mtime * 10**9 + nanoseconds,
            flags,
            raw[40:100],
            extra,
        )

    def _descriptor(self, group: int) -> bytes:
        per_block = self.block_size // self._descriptor_size
        chunk, index = divmod(group, per_block)
        if chunk not in self._descriptors:
            place = (1 if self.block_size == 1024 else 0) + 1 + chunk
            (first_meta,) = struct.unpack_from("<I", self._super, 260)
            if self._incompat & _META_BG and chunk >= first_meta:
                first = chunk * per_block
                place = self._first_data + first * self._blocks_per_group
                place += self._has_superblock(first)
            self._stream.seek(place * self.block_size)
            self._descriptors[chunk] = self._stream.read(self.block_size)
        table = self._descriptors[chunk]
        found = table[index * self._descriptor_size :][: self._descriptor_size]
        if len(found) < 32:
            raise UnreadableFileError(f"is damaged: block group {group} has an impossible place")
        return found

    def _has_superblock(self, group: int) -> bool:
        (compat,) = struct.unpack_from("<I", self._super, 92)
        (read_only,) = struct.unpack_from("<I", self._super, 100)
        if group == 0:
            return True
        if compat & _SPARSE_SUPER2:
            return group in struct.unpack_from("<II", self._super, 588)
        if group == 1 or not read_only & _SPARSE_SUPER:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    # --- what files consist of --------------------------------------------------------------

    def _extents(self, node: bytes, depth: int | None, upto: list[int]) -> Iterator[Run]:
        """The runs of an extent tree's node; `upto` is the file's block that comes next."""
        magic, entries, _, level = struct.unpack_from("<HHHH", node)
        # Only the root may be empty: empty nodes could lead anywhere, and forever.
        fits = 12 * (entries + 1) <= len(node) and (entries or depth is None)
        if magic != _EXTENT_MAGIC or level > _DEEPEST or not fits or depth not in (None, level):
            raise UnreadableFileError("is damaged: its extent tree is not one")
        for number in range(entries):
            if level:
                _, low, high = struct.unpack_from("<IIH", node, 12 + 12 * number)
                yield from self._extents(self._block(low | high << 32), level - 1, upto)
                continue
            at, length, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * number)
            written = length <= _WRITTEN
            length -= 0 if written else _WRITTEN
            if at < upto[0] or not length:
                raise UnreadableFileError("is damaged: its extents are out of order")
            upto[0] = at + length
            if written:
                yield self._run(at, low | high << 32, length)

    def _pointers(self, inode: ExtInode) -> Iterator[Run]:
        """The runs of a file with a block pointer for each block, as of ext2 and ext3."""
        blocks = -(-inode.size // self.block_size)
        pointers = struct.unpack("<15I", inode.block)
        for number, place in enumerate(pointers[:12]):
            if place and number < blocks:
                yield self._run(number, place, 1)
        at = 12
        self._left = self._stream.size // self.block_size
        for depth, place in enumerate(pointers[12:], start=1):
            yield from self._indirect(place, depth, at, blocks)
            at += (self.block_size // 4) ** depth

    def _indirect(self, place: int, depth: int, at: int, blocks: int) -> Iterator[Run]:
        if not place or at >= blocks:
            return
        self._left -= 1
        if self._left < 0:
            raise UnreadableFileError("is damaged: it has more blocks than the disk")
        if not depth:
            yield self._run(at, place, 1)
            return
        step = (self.block_size // 4) ** (depth - 1)
        for (pointer,) in struct.iter_unpack("<I", self._block(place)):
            yield from self._indirect(pointer, depth - 1, at, blocks)
            at += step

    def _run(self, at: int, place: int, count: int) -> Run:
        size = self.block_size
        return Run(at * size, place * size, count * size)

    def _block(self, number: int) -> bytes:
        self._stream.seek(number * self.block_size)
        data = self._stream.read(self.block_size)
        if len(data) < self.block_size or not number:
            raise UnreadableFileError("is damaged: part of it lies beyond the end of the disk")
        return data

    def _inline(self, inode: ExtInode) -> bytes:
        """Content that lies in the inode itself: in place of pointers, then in an attribute."""
        data = inode.block + self._data_attribute(inode.extra)
        if inode.size > len(data):
            raise UnreadableFileError("is damaged: it is shorter than it claims")
        return data[: inode.size]

    def _data_attribute(self, extra: bytes) -> bytes:
        if len(extra) < 4 or int.from_bytes(extra[:4], "little") != _ATTRIBUTES_MAGIC:
            return b""
        at = 4
        while at + 16 <= len(extra) and extra[at : at + 4] != bytes(4):
            length, kind, offset, _, size = struct.unpack_from("<BBHII", extra, at)
            if kind == 7 and extra[at + 16 : at + 16 + length] == b"data":
                return extra[4 + offset : 4 + offset + size]
            at += 16 + (length + 3) // 4 * 4
        return b""

    def _directory_blocks(self, inode: ExtInode) -> Iterator[bytes]:
        if inode.size % self.block_size:
            raise UnreadableFileError("is damaged: a directory of less than a block")
        file = self._mapped(inode)
        for begin, end in file.ranges():
            for at in range(begin, end, self.block_size):
                file.seek(at)
                yield file.read(self.block_size)

    def _entries(self, area: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 8 <= len(area):
            number, step, length = struct.unpack_from("<IHH", area, at)
            if self._incompat & _FILETYPE:
                length &= 0xFF
            if len(area) >= 65536:
                step = len(area) if step in (0, 65535) else step & 65532 | (step & 3) << 16
            if step < 8 or step % 4 or at + step > len(area):
                raise UnreadableFileError("is damaged: its entries are out of order")
            if number:
                if step < 8 + length:
                    raise UnreadableFileError("is damaged: its entries are out of order")
                yield number, area[at + 8 : at + 8 + length]
            at += step


def _is_power(number: int, base: int) -> bool:
    while number % base == 0:
        number //= base
    return number == 1
