"""What the NBD server can serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mooring.model.extents import Buffer
from mooring.nbd.protocol import StatusExtent


class Export(Protocol):
    """A content that is read by range and does not change. Offsets and lengths are bytes.

    Errors raised (MooringError, OSError) reach the client as EIO, with their text.
    """

    @property
    def size(self) -> int: ...

    async def read(self, offset: int, length: int) -> Buffer:
        """Return exactly `length` bytes; the range lies within the export."""
        ...

    async def block_status(self, offset: int, length: int, most: int) -> Sequence[StatusExtent]:
        """Return extents from `offset` on, 1 to `most`, with base:allocation flags.

        They may end before the range does, or go beyond it.
        """
        ...

    async def close(self) -> None:
        """The connection that has opened this is gone."""
        ...


class Exports(Protocol):
    """The exports of a server, which may come and go while it runs."""

    async def names(self) -> Sequence[tuple[str, str]]:
        """Name and description of every export."""
        ...

    async def open(self, name: str) -> Export | None:
        """Open an export for one connection, None if there is none of that name."""
        ...
