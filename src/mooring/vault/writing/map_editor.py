"""Changes a parent's map into the map of a new snapshot, page by page."""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque

import numpy as np

from mooring.vault.format.blocks import Array
from mooring.vault.format.frame import Kind, Packer
from mooring.vault.format.layout import (
    DIRECTORY_PAGES,
    FRAME_BYTES,
    PAGE_BLOCKS,
)
from mooring.vault.format.references import OpenSegment, References, SegmentRef
from mooring.vault.format.root import table_length
from mooring.vault.reading.frames import Frames
from mooring.vault.writing.segment_writer import SegmentWriter

OPEN_PAGES = 64
"""Pages kept in memory, about 40 KiB each; ascending writes need two or three."""

REMEMBERED = 16
"""Pages and directories that the next snapshot need not read: one of little has two."""


class MapEditor:
    """Holds what changes, and writes pages as soon as the writer has moved on from them.

    Memory follows from the number of directories touched (2 KiB for each 16 GiB of disk), not
    from the size of the disk or of the change.
    """

    def __init__(
        self,
        size: int,
        table: References | None,
        frames: Frames,
        packer: Packer,
        segments: SegmentWriter,
    ) -> None:
        length = table_length(size)
        self._table = References(length, blocks=False) if table is None else table.copy(length)
        self._frames = frames
        self._packer = packer
        self._segments = segments
        self._directories: dict[int, References] = {}
        self._pages: OrderedDict[int, References] = OrderedDict()
        self._latest: deque[tuple[OpenSegment, int, Kind, bytes]] = deque(maxlen=REMEMBERED)
        self.changed_blocks = 0
        self.pages_written = 0

    def assign(self, blocks: Array, segment: SegmentRef, frame: int) -> None:
        """Block `i` of the frame becomes the content of disk block `blocks[i]`."""
        pages = blocks // PAGE_BLOCKS
        self.changed_blocks += len(blocks)
        cuts = [0, *(np.flatnonzero(pages[1:] != pages[:-1]) + 1).tolist(), len(blocks)]
        for start, end in itertools.pairwise(cuts):
            page = self._page(int(pages[start]))
            slots = blocks[start:end] % PAGE_BLOCKS
            page.assign(slots, segment, frame, np.arange(start, end, dtype=np.uint8))

    def clear(self, first: int, count: int) -> None:
        """Let a range of blocks read as zeros."""
        end = first + count
        while first < end:
            directory, inside = divmod(first, PAGE_BLOCKS * DIRECTORY_PAGES)
            stop = min(end, first - inside + PAGE_BLOCKS * DIRECTORY_PAGES)
            if not self._is_absent(directory):
                self._clear_in(first, stop)
            first = stop

    def finish(self) -> References:
        """Write what has changed; return the table for the root."""
        while self._pages:
            self._close_oldest()
        for number in sorted(self._directories):
            directory = self._directories[number]
            if directory.is_empty():
                self._table.clear(number, number + 1)
            else:
                self._table.assign(number, *self._write(directory, Kind.DIRECTORY))
        self._directories.clear()
        return self._table

    def remember(self) -> None:
        """Let the next snapshot have at hand what was written here last; it is in the store."""
        for segment, frame, kind, content in self._latest:
            if segment.id is not None:
                self._frames.remember((segment.id, frame), kind, content)

    def _is_absent(self, number: int) -> bool:
        return not self._table.segment[number] and number not in self._directories

    def _clear_in(self, first: int, end: int) -> None:
        """Clear blocks of a single directory."""
        number = first // (PAGE_BLOCKS * DIRECTORY_PAGES)
        base = number * DIRECTORY_PAGES
        low, high = first // PAGE_BLOCKS - base, -(-end // PAGE_BLOCKS) - base
        stored = np.flatnonzero(self._directory(number, change=False).segment[low:high])
        pages = {base + low + slot for slot in stored.tolist()}
        pages.update(page for page in self._pages if base + low <= page < base + high)
        for page in sorted(pages):
            start = page * PAGE_BLOCKS
            inside = slice(max(first - start, 0), min(end - start, PAGE_BLOCKS))
            count = int(np.count_nonzero(self._peek(page).segment[inside]))
            if count:
                self.changed_blocks += count
                self._page(page).clear(inside.start, inside.stop)

    def _peek(self, number: int) -> References:
        """A page as it is now, not to be changed."""
        page = self._pages.get(number)
        if page is not None:
            return page
        directory = self._directory(number // DIRECTORY_PAGES, change=False)
        return self._stored_page(directory, number)

    def _page(self, number: int) -> References:
        page = self._pages.get(number)
        if page is None:
            directory = self._directory(number // DIRECTORY_PAGES, change=True)
            if directory.segment[number % DIRECTORY_PAGES]:
                page = self._stored_page(directory, number).copy()
            else:
                page = References(PAGE_BLOCKS, blocks=True)
            self._pages[number] = page
            if len(self._pages) > OPEN_PAGES:
                self._close_oldest()
        self._pages.move_to_end(number)
        return page

    def _stored_page(self, directory: References, number: int) -> References:
        found = directory.at(number % DIRECTORY_PAGES)
        assert found is not None
        return self._frames.page((self._readable(found[0]), found[1]))

    def _directory(self, number: int, *, change: bool) -> References:
        directory = self._directories.get(number)
        if directory is not None:
            return directory
        found = self._table.at(number)
        if found is None:
            directory = References(DIRECTORY_PAGES, blocks=False)
        else:
            directory = self._frames.directory((self._readable(found[0]), found[1]))
            if not change:
                return directory
            directory = directory.copy()
        self._directories[number] = directory
        return directory

    def _readable(self, segment: SegmentRef) -> bytes:
        """The id of a segment from which can be read; one that is being written is ended first."""
        if isinstance(segment, bytes):
            return segment
        self._segments.settle()
        assert segment.id is not None
        return segment.id

    def _close_oldest(self) -> None:
        number, page = self._pages.popitem(last=False)
        slot = number % DIRECTORY_PAGES
        directory = self._directory(number // DIRECTORY_PAGES, change=True)
        if page.is_empty():
            directory.clear(slot, slot + 1)
        else:
            directory.assign(slot, *self._write(page, Kind.PAGE))
            self.pages_written += 1

    def _write(self, references: References, kind: Kind) -> tuple[OpenSegment, int]:
        own = self._segments.reserve(FRAME_BYTES)
        content = references.encode(own)
        segment, frame = self._segments.append(self._packer.pack(content, kind))
        self._latest.append((segment, frame, kind, content))
        return segment, frame
