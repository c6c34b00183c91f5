"""Ranges of a disk, and what can be read by range."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

BLOCK_SIZE = 4096
"""Bytes of a block, the unit of change."""

GIB = 1024**3

Buffer = bytes | bytearray | memoryview
"""Bytes in memory; a memoryview has one dimension of them."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of a disk in bytes; both ends are multiples of `BLOCK_SIZE`.

    `zero` says that the range reads as zeros, so that nobody has to read it.
    """

    offset: int
    length: int
    zero: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.length


def joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Yield ascending extents with neighbours of the same kind made one."""
    held: Extent | None = None
    for extent in extents:
        if held is None:
            held = extent
        elif held.end == extent.offset and held.zero == extent.zero:
            held = Extent(held.offset, held.length + extent.length, held.zero)
        else:
            yield held
            held = extent
    if held is not None:
        yield held


def with_gaps(extents: Iterable[Extent], size: int) -> Iterator[Extent]:
    """Yield ascending extents, and as zeros what lies between them and before `size`."""
    end = 0
    for extent in extents:
        if extent.offset > end:
            yield Extent(end, extent.offset - end, zero=True)
        yield extent
        end = extent.end
    if end < size:
        yield Extent(end, size - end, zero=True)


class Edges:
    """Where data begin and end on a disk, by turns; all else reads as zeros.

    16 bytes for each range, for a disk may have millions.
    """

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._places: array[int] = array("Q")
        for extent in extents:
            if not extent.zero:
                self.add(extent.offset, extent.end)

    def add(self, start: int, end: int) -> None:
        """Add a range of data that lies behind all others, or touches the last."""
        if self._places and self._places[-1] == start:
            self._places[-1] = end
        else:
            self._places.extend((start, end))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield where each range begins and where it ends."""
        return zip(self._places[::2], self._places[1::2], strict=True)

    def total(self) -> int:
        """How many bytes of data there are."""
        return sum(self._places[1::2]) - sum(self._places[::2])

    def at(self, offset: int) -> tuple[bool, int | None]:
        """Whether there are data at `offset`, and where that changes; None if nowhere."""
        index = bisect_right(self._places, offset)
        return bool(index % 2), self._places[index] if index < len(self._places) else None


class Image(Protocol):
    """A fixed content of a disk that can be read by range: a frozen point or a snapshot."""

    @property
    def size(self) -> int:
        """Bytes; a multiple of `BLOCK_SIZE`."""
        ...

    def extents(self) -> Iterator[Extent]:
        """Yield the ranges in ascending order; what is left out reads as zeros."""
        ...

    def read(self, offset: int, length: int) -> Buffer:
        """Return exactly `length` bytes; both arguments are multiples of `BLOCK_SIZE`."""
        ...

    def close(self) -> None:
        """Close files and free memory; further calls do nothing."""
        ...
