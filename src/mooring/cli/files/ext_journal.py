"""The journal of ext3 and ext4: what mounting would write before anything is read.

A snapshot of a disk in use has in its journal what was synchronised last. It is not replayed into
the snapshot; the blocks are handed out to be read instead of those in their places. Source: the
kernel's Documentation/filesystems/ext4/journal.rst. What fast commits hold is not among it.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _REVOKE = 1, 2, 5
_SUPERBLOCKS = (3, 4)
_HEADER = struct.Struct(">III")
_64BIT, _CSUM_V2, _CSUM_V3 = 2, 8, 16
_ESCAPED, _SAME_UUID, _LAST = 1, 2, 8
_MOST_BLOCKS = 1 << 20


class Journal:
    """One walk over a journal; `blocks` are those that were committed, by number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.blocks: dict[int, bytes] = {}
        self.block_size = 0
        file.seek(0)
        head = file.read(1024)
        if len(head) < 1024:
            return
        magic, kind, _ = _HEADER.unpack_from(head)
        size, self._length, self._first, sequence, start = struct.unpack_from(">5I", head, 12)
        self._features = struct.unpack_from(">I", head, 40)[0] if kind == _SUPERBLOCKS[1] else 0
        known = magic == MAGIC and kind in _SUPERBLOCKS and size in (1024, 2048, 4096, 65536)
        if not known or not start or not 0 < self._first < self._length <= _MOST_BLOCKS:
            return
        self.block_size = size
        # A later transaction's revocation holds against all earlier ones.
        transactions, revoked = self._walk(start, sequence)
        for number, found in transactions:
            for block, place in found:
                if revoked.get(block, -1) < number:
                    self.blocks[block] = self._content(*place)

    def _walk(
        self, at: int, sequence: int
    ) -> tuple[list[tuple[int, list[tuple[int, tuple[int, bool]]]]], dict[int, int]]:
        """Committed transactions in order, each with its blocks' places; and what was revoked."""
        transactions = []
        revoked: dict[int, int] = {}
        pending: list[tuple[int, tuple[int, bool]]] = []
        gone: list[int] = []
        number = 0
        for _ in range(self._length):
            block = self._read(at)
            magic, kind, found = _HEADER.unpack_from(block)
            if magic != MAGIC or found != sequence:
                break
            at = self._next(at)
            if kind == _DESCRIPTOR:
                for target, escaped in self._tags(block):
                    pending.append((target, (at, escaped)))
                    at = self._next(at)
            elif kind == _REVOKE:
                gone += self._revocations(block)
            elif kind == _COMMIT:
                transactions.append((number, pending))
                revoked.update(dict.fromkeys(gone, number))
                pending, gone = [], []
                sequence = (sequence + 1) & 0xFFFFFFFF
                number += 1
            else:
                break
        return transactions, revoked

    def _tags(self, block: bytes) -> list[tuple[int, bool]]:
        """The numbers of the blocks that follow, and whether their first word was escaped."""
        wide = bool(self._features & _64BIT)
        tags = []
        at = _HEADER.size
        end = self.block_size - (4 if self._features & (_CSUM_V2 | _CSUM_V3) else 0)
        size = 16 if self._features & _CSUM_V3 else 12 if wide else 8
        if self._features & _CSUM_V2 and not self._features & _CSUM_V3:
            size += 2
        while at + size <= end:
            if self._features & _CSUM_V3:
                low, flags, high = struct.unpack_from(">III", block, at)
            else:
                low, flags = struct.unpack_from(">I2xH", block, at)
                high = struct.unpack_from(">I", block, at + 8)[0] if wide else 0
            tags.append((low | (high << 32 if wide else 0), bool(flags & _ESCAPED)))
            at += size + (0 if flags & _SAME_UUID else 16)
            if flags & _LAST:
                break
        return tags

    def _revocations(self, block: bytes) -> list[int]:
        (used,) = struct.unpack_from(">I", block, _HEADER.size)
        kind = ">Q" if self._features & _64BIT else ">I"
        size = struct.calcsize(kind)
        places = range(_HEADER.size + 4, min(used, self.block_size) - size + 1, size)
        return [struct.unpack_from(kind, block, at)[0] for at in places]

    def _content(self, at: int, escaped: bool) -> bytes:
        data = self._read(at)
        return MAGIC.to_bytes(4, "big") + data[4:] if escaped else data

    def _next(self, at: int) -> int:
        return at + 1 if at + 1 < self._length else self._first

    def _read(self, at: int) -> bytes:
        self._file.seek(at * self.block_size)
        return self._file.read(self.block_size).ljust(self.block_size, b"\0")
