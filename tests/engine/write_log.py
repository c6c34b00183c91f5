"""Reads the block logs that QEMU's blklogwrites writes (dm-log-writes)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512

_MAGIC = 0x6A736677736872
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """One request: `data` at `offset`; all before it is durable after a `flush`."""

    offset: int
    data: bytes
    flush: bool
    durable: bool


def entry_count(path: Path) -> int:
    """How many requests the log has, by its first sector; 0 for one just made."""
    with path.open("rb") as file:
        head = file.read(_SUPER.size)
    if len(head) < _SUPER.size:
        return 0
    magic, version, count, sector = _SUPER.unpack(head)
    assert magic in (0, _MAGIC)
    assert not magic or (version, sector) == (1, SECTOR)
    return int(count)


def read_log(path: Path) -> list[LoggedWrite]:
    """All requests of a log that is not written to any more, in order.

    The layout is that of the kernel's Documentation/admin-guide/device-mapper/log-writes.rst:
    a sector with the number of entries; then, for each, a sector that says where, how much and
    what kind, and the data, which a discard has not.
    """
    raw = path.read_bytes()
    place = SECTOR
    found = []
    for _ in range(entry_count(path)):
        sector, count, flags, _ = _ENTRY.unpack_from(raw, place)
        place += SECTOR
        length = count * SECTOR
        if flags & _DISCARD:
            data = bytes(length)
        else:
            data = raw[place : place + length].ljust(length, b"\0")
            place += length
        found.append(LoggedWrite(sector * SECTOR, data, bool(flags & _FLUSH), bool(flags & _FUA)))
    return found
