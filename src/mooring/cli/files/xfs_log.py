"""Whether everything in an XFS log is also in its place.

The log is a ring of blocks of 512 bytes. Each begins with the number of the lap in which it was
written, or, where a record begins, with a magic number and then the lap. So the place where the
newest ends is where laps change, and the record before it tells how far back what it needs begins.
Source: the kernel's fs/xfs/xfs_log_recover.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mooring.cli.files.export_stream import ExportStream

BLOCK = 512
_MAGIC = 0xFEEDBABE
_UNMOUNTED = 0x20
_BUFFER = 0x123C
_PER_HEADER = 32768
_WINDOW = 4096
"""Blocks before the end in which the newest whole record begins: eight of 256 KiB, doubled."""


@dataclass(frozen=True)
class Log:
    """Where the log lies, in bytes."""

    stream: ExportStream
    place: int
    size: int

    @property
    def blocks(self) -> int:
        return self.size // BLOCK

    def read(self, block: int, count: int = 1) -> bytes:
        self.stream.seek(self.place + block * BLOCK)
        return self.stream.read(count * BLOCK).ljust(count * BLOCK, b"\0")

    def lap(self, block: int) -> int:
        first, second = struct.unpack_from(">II", self.read(block))
        return int(second if first == _MAGIC else first)


def is_clean(log: Log) -> bool:
    """Whether nothing but counters in the superblock would be replayed; False if nobody can tell.

    An unmounted file system says so in its last record. One that was frozen has everything in its
    place, but writes its superblock once more, so that mounting looks for what was unlinked.
    """
    needed: int | None = None
    for block in _records_backwards(log):
        head = log.read(block)
        at, tail = struct.unpack_from(">QQ", head, 16)
        if needed is None:
            if _is_unmount(log, block, head):
                return True
            needed = tail
        if at < needed:
            return True
        if not _is_superblock(log, block, head):
            return False
        if at == needed:
            return True
    # A log in which no record is has not been used yet.
    return needed is None and log.lap(0) <= 1


def _records_backwards(log: Log) -> Iterator[int]:
    """The blocks where the newest records begin, the newest first."""
    head = _head(log)
    first = max(0, head - _WINDOW)
    last = max(head, log.blocks - _WINDOW)
    for begin, end in ((first, head), (last, log.blocks)):
        data = log.read(begin, end - begin)
        for at in range(len(data) - BLOCK, -1, -BLOCK):
            if struct.unpack_from(">I", data, at)[0] == _MAGIC:
                yield begin + at // BLOCK


def _head(log: Log) -> int:
    """The first block of the lap before the newest."""
    newest = log.lap(0)
    low, high = 0, log.blocks
    while low + 1 < high:
        middle = (low + high) // 2
        if log.lap(middle) == newest:
            low = middle
        else:
            high = middle
    return high


def _is_unmount(log: Log, block: int, head: bytes) -> bool:
    """One operation, which says that the file system was unmounted."""
    flags = _content(log, block, head)[9]
    return _operations(head) == 1 and bool(flags & _UNMOUNTED)


def _is_superblock(log: Log, block: int, head: bytes) -> bool:
    """One transaction (begin, header, what is changed, its content, end) of the first block."""
    kind, _, _, _, changed = struct.unpack_from("<HHHHq", _content(log, block, head), 52)
    return _operations(head) == 5 and kind == _BUFFER and changed == 0


def _operations(head: bytes) -> int:
    return int(struct.unpack_from(">I", head, 40)[0])


def _content(log: Log, block: int, head: bytes) -> bytes:
    """The first block of a record's content."""
    (version,) = struct.unpack_from(">I", head, 8)
    size = struct.unpack_from(">I", head, 320)[0] if version == 2 else 0
    headers = max(1, -(-size // _PER_HEADER))
    return log.read((block + min(headers, 64)) % log.blocks)
