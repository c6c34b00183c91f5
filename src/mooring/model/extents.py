"""Ranges of a disk, and what can be read by range."""

from __future__ import annotations

from collections.abc import Iterator
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
        """Let go of files and memory; further calls do nothing."""
        ...
