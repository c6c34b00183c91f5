"""Dense arrays of references to frames: the content of maps."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from mooring.model.counts import counted
from mooring.model.errors import DamageError
from mooring.vault.format.blocks import Array
from mooring.vault.format.layout import ID_BYTES

_HEAD = struct.Struct("<HHI")
_SELF = bytes(ID_BYTES)
_WITH_BLOCKS = 1
_MAX_SEGMENTS = 65_535


class OpenSegment:
    """A segment of a running writer. Its id is known only once it is sealed."""

    __slots__ = ("id",)

    def __init__(self) -> None:
        self.id: bytes | None = None


SegmentRef = bytes | OpenSegment


class References:
    """`length` slots, each empty or naming a segment, a frame and perhaps a block of it.

    `segment[i]` is 0 for an empty slot, else 1 + an index into `segments`. Empty slots have
    zeros in the other columns too, so that equal slots are equal in every column.
    """

    __slots__ = ("_index", "block", "frame", "segment", "segments")

    def __init__(self, length: int, *, blocks: bool) -> None:
        self.segments: list[SegmentRef] = []
        self.segment: Array = np.zeros(length, np.uint16)
        self.frame: Array = np.zeros(length, np.uint16)
        self.block: Array | None = np.zeros(length, np.uint8) if blocks else None
        self._index: dict[SegmentRef, int] = {}

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def nbytes(self) -> int:
        """Memory that the columns take, roughly."""
        return len(self) * 5 + len(self.segments) * 60 + 400

    def copy(self, length: int | None = None) -> References:
        """A copy to be changed, with empty slots appended up to `length`."""
        size = len(self) if length is None else length
        other = References(size, blocks=self.block is not None)
        other.segments = list(self.segments)
        other._index = {segment: i for i, segment in enumerate(self.segments, 1)}
        other.segment[: len(self)] = self.segment
        other.frame[: len(self)] = self.frame
        if self.block is not None and other.block is not None:
            other.block[: len(self)] = self.block
        return other

    def at(self, slot: int) -> tuple[SegmentRef, int] | None:
        """The segment and frame of a slot; None if it is empty."""
        number = int(self.segment[slot])
        return (self.segments[number - 1], int(self.frame[slot])) if number else None

    def assign(self, slots: Any, segment: SegmentRef, frame: int, blocks: Any = None) -> None:
        """Let the slots, an index or an array of them, refer to the frame."""
        number = self._index.get(segment)
        if number is None:
            if len(self.segments) >= _MAX_SEGMENTS:
                self._drop_unused()
            self.segments.append(segment)
            number = self._index[segment] = len(self.segments)
        self.segment[slots] = number
        self.frame[slots] = frame
        if self.block is not None:
            self.block[slots] = blocks

    def clear(self, first: int, end: int) -> bool:
        """Empty a range of slots; tell whether any was not empty before."""
        if not self.segment[first:end].any():
            return False
        self.segment[first:end] = 0
        self.frame[first:end] = 0
        if self.block is not None:
            self.block[first:end] = 0
        return True

    def is_empty(self) -> bool:
        return not self.segment.any()

    def encode(self, own: OpenSegment | None) -> bytes:
        """The bytes to be stored; `own` is the open segment that they will be stored in."""
        self._drop_unused()
        ids = [_SELF if segment is own else _closed_id(segment) for segment in self.segments]
        parts = [
            _HEAD.pack(len(ids), 0 if self.block is None else _WITH_BLOCKS, len(self)),
            *ids,
            self.segment.astype("<u2", copy=False).tobytes(),
            self.frame.astype("<u2", copy=False).tobytes(),
        ]
        if self.block is not None:
            parts.append(self.block.tobytes())
        return b"".join(parts)

    def _drop_unused(self) -> None:
        used = np.bincount(self.segment, minlength=len(self.segments) + 1) > 0
        used[0] = False
        if used.sum() < len(self.segments):
            self.segment = np.where(used, np.cumsum(used), 0).astype(np.uint16)[self.segment]
            self.segments = [self.segments[i - 1] for i in np.flatnonzero(used).tolist()]
            self._index = {segment: i for i, segment in enumerate(self.segments, 1)}


def decode(data: bytes, own: bytes, length: int, *, blocks: bool) -> References:
    """Read what `encode` made; `own` is the id of the segment that it was found in.

    The columns are read-only. Raises DamageError if the shape is not the one expected.
    """
    if len(data) < _HEAD.size:
        raise DamageError("it is too short")
    count, flags, found = _HEAD.unpack_from(data)
    width = 5 if blocks else 4
    expected = _HEAD.size + count * ID_BYTES + length * width
    if found != length or flags != int(blocks) or len(data) != expected:
        raise DamageError(f"it does not hold {counted(length, 'reference')}")
    result = References.__new__(References)
    start = _HEAD.size
    ids = [data[start + i * ID_BYTES : start + (i + 1) * ID_BYTES] for i in range(count)]
    result.segments = [own if segment == _SELF else segment for segment in ids]
    start += count * ID_BYTES
    result.segment = np.frombuffer(data, "<u2", length, start)
    result.frame = np.frombuffer(data, "<u2", length, start + 2 * length)
    result.block = np.frombuffer(data, "u1", length, start + 4 * length) if blocks else None
    result._index = {}
    if length and int(result.segment.max()) > count:
        raise DamageError("it refers to a segment that it does not name")
    return result


def _closed_id(segment: SegmentRef) -> bytes:
    found = segment if isinstance(segment, bytes) else segment.id
    assert found is not None, "a map is written only after the segments before its own"
    return found
