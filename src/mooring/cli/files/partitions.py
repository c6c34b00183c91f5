"""Partition tables: MBR with logical partitions, and GPT.

Sources: the UEFI specification, chapter 5; for logical partitions the numbering of Linux.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mooring.cli.files.export_stream import ExportStream

SECTOR = 512
_MBR_ENTRY = struct.Struct("<B3xB3xII")
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_MOST = 256


@dataclass(frozen=True)
class Partition:
    """A partition as Linux numbers it; bytes."""

    number: int
    offset: int
    size: int


def partitions(disk: ExportStream) -> list[Partition]:
    """The partitions of a disk, none if it has no table."""
    entries = _entries(disk, 0)
    if entries is None:
        return []
    if any(kind == _PROTECTIVE for kind, _, _ in entries):
        for sector_size in (SECTOR, 4096):
            found = _gpt(disk, sector_size)
            if found:
                return found
        return []
    found = []
    for number, (kind, start, count) in enumerate(entries, start=1):
        if kind in _EXTENDED:
            found += _logical(disk, start)
        elif kind and count:
            found.append(Partition(number, start * SECTOR, count * SECTOR))
    return sorted(found, key=lambda one: one.number)


def _entries(disk: ExportStream, offset: int) -> list[tuple[int, int, int]] | None:
    """Type, first sector and number of sectors of the four entries."""
    disk.seek(offset)
    sector = disk.read(SECTOR)
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return None
    entries = []
    for number in range(4):
        state, kind, start, count = _MBR_ENTRY.unpack_from(sector, 446 + 16 * number)
        if state not in (0, 0x80):
            return None
        entries.append((kind, start, count))
    return entries


def _logical(disk: ExportStream, first: int) -> list[Partition]:
    found: list[Partition] = []
    seen: set[int] = set()
    at = first
    while at not in seen and len(seen) < _MOST:
        seen.add(at)
        entries = _entries(disk, at * SECTOR)
        if entries is None:
            break
        kind, start, count = entries[0]
        if kind and count:
            found.append(Partition(5 + len(found), (at + start) * SECTOR, count * SECTOR))
        kind, start, _ = entries[1]
        if kind not in _EXTENDED:
            break
        at = first + start
    return found


def _gpt(disk: ExportStream, sector_size: int) -> list[Partition]:
    for place in (sector_size, disk.size - sector_size):
        disk.seek(max(0, place))
        head = disk.read(_GPT_HEADER.size)
        if len(head) < _GPT_HEADER.size or not head.startswith(b"EFI PART"):
            continue
        fields = _GPT_HEADER.unpack(head)
        table, count, length = fields[10], fields[11], fields[12]
        if not 128 <= length <= 4096:
            continue
        found = []
        for number in range(min(count, _MOST)):
            disk.seek(table * sector_size + number * length)
            entry = disk.read(48)
            if len(entry) < 48 or not any(entry[:16]):
                continue
            start, end = struct.unpack_from("<QQ", entry, 32)
            if start <= end:
                size = (end + 1 - start) * sector_size
                found.append(Partition(number + 1, start * sector_size, size))
        return found
    return []
