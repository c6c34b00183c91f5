"""Records of one block each, and the journal of who wrote which when."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blake3 import blake3

from mooring.model.extents import BLOCK_SIZE

_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"MOORREC1"

ISSUED, ACKNOWLEDGED = 1, 2

JOURNAL_ENTRY = np.dtype(
    [("kind", "<u8"), ("sequence", "<u8"), ("block", "<u8"), ("seconds", "<f8")]
)
"""One line of a journal; `seconds` are of the monotonic clock, which all processes share."""


def record(sequence: int, block: int) -> bytes:
    """The one content that a block has after write number `sequence`: 4096 bytes.

    Half of it looks random, so that it compresses as ordinary data does.
    """
    head = _HEADER.pack(_MAGIC, sequence, block)
    noise = blake3(head).digest(length=BLOCK_SIZE // 2)
    return (head + noise).ljust(BLOCK_SIZE, b"\xa5")


def sequence_of(data: bytes, block: int) -> int:
    """Which write a block holds: 0 for none, -1 if it is not a whole record of this block."""
    if not any(data):
        return 0
    magic, sequence, written_block = _HEADER.unpack_from(data)
    whole = magic == _MAGIC and written_block == block and data == record(sequence, block)
    return int(sequence) if whole else -1


Entries = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison found. `wrong` names the first few blocks that are not as they must be."""

    blocks: int
    written: int
    wrong: list[str]

    @property
    def ok(self) -> bool:
        return not self.wrong


class Journal:
    """What a writer did: each write has an entry when issued and one when acknowledged.

    A writer has at most one write of a block under way, so the writes of a block are in the
    order of their sequence numbers.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Journal:
        """Read the journals of writers that wrote disjoint blocks."""
        parts = []
        for path in paths:
            whole = path.stat().st_size // JOURNAL_ENTRY.itemsize
            parts.append(np.fromfile(path, JOURNAL_ENTRY, whole))
        return cls(np.concatenate(parts))

    def bounds(self, requested: float, replied: float) -> tuple[dict[int, int], dict[int, int]]:
        """For each block the lowest and the highest write that a snapshot may hold.

        It must hold at least what was acknowledged before the request, and at most what was
        issued before the reply.
        """
        entries = self._entries
        acknowledged = entries[(entries["kind"] == ACKNOWLEDGED) & (entries["seconds"] < requested)]
        issued = entries[(entries["kind"] == ISSUED) & (entries["seconds"] <= replied)]
        return _last(acknowledged), _last(issued)

    def compare(
        self, blocks: Iterable[tuple[int, bytes]], requested: float, replied: float
    ) -> Verdict:
        """Check a snapshot's blocks, given as (number, content), against the journal."""
        lowest, highest = self.bounds(requested, replied)
        count = written = 0
        wrong: list[str] = []
        for block, data in blocks:
            count += 1
            found = sequence_of(data, block)
            written += found > 0
            low, high = lowest.get(block, 0), highest.get(block, 0)
            if not low <= found <= high and len(wrong) < 10:
                what = "is not a whole record" if found < 0 else f"holds write {found}"
                wrong.append(f"block {block} {what}; must be {low} to {high}")
        return Verdict(count, written, wrong)


def _last(entries: Entries) -> dict[int, int]:
    """The highest sequence of each block."""
    ordered = entries[np.argsort(entries["sequence"], kind="stable")]
    return dict(zip(ordered["block"].tolist(), ordered["sequence"].tolist(), strict=True))
