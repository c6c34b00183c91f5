"""A range of an NBD export as a file object, with a cache."""

from __future__ import annotations

import io
from collections import OrderedDict

from mooring.nbd.blocking import BlockingNbdClient

PIECE = 256 * 1024
KEPT = 256
"""Pieces kept in memory: 64 MiB."""


class ExportStream:
    """What the libraries that know file systems want: seek, tell and read; past the end is nothing.

    `changed` holds blocks of `changed_size` bytes, by their numbers, that are read instead of
    what the export has: what a journal would write there.
    """

    def __init__(self, client: BlockingNbdClient, offset: int = 0, size: int | None = None) -> None:
        self.offset = offset
        whole = client.info.size - offset
        self.size = whole if size is None else max(0, min(size, whole))
        self.changed: dict[int, bytes] = {}
        self.changed_size = 0
        self._client = client
        self._at = 0
        self._pieces: OrderedDict[int, bytes] = OrderedDict()

    def part(self, offset: int, size: int) -> ExportStream:
        """A range of this one."""
        return ExportStream(self._client, self.offset + offset, max(0, min(size, self.size)))

    def change(self, blocks: dict[int, bytes], block_size: int) -> None:
        """Read these blocks instead from now on."""
        self.changed, self.changed_size = blocks, block_size
        self._pieces.clear()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of a file. Raises ValueError for places before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes, fewer only at the end. Raises NbdError."""
        end = self.size if count < 0 else min(self._at + count, self.size)
        parts = []
        while self._at < end:
            number, begin = divmod(self._at, PIECE)
            part = self._piece(number)[begin : begin + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def _piece(self, number: int) -> bytes:
        data = self._pieces.get(number)
        if data is not None:
            self._pieces.move_to_end(number)
            return data
        start = number * PIECE
        data = self._client.read(self.offset + start, min(PIECE, self.size - start))
        if self.changed:
            data = self._with_changes(start, data)
        self._pieces[number] = data
        if len(self._pieces) > KEPT:
            self._pieces.popitem(last=False)
        return data

    def _with_changes(self, start: int, data: bytes) -> bytes:
        first, last = start // self.changed_size, (start + len(data) - 1) // self.changed_size
        wanted = [block for block in range(first, last + 1) if block in self.changed]
        if not wanted:
            return data
        mixed = bytearray(data)
        for block in wanted:
            at = block * self.changed_size - start
            mixed[at : at + self.changed_size] = self.changed[block]
        return bytes(mixed[: len(data)])
