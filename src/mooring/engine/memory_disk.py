"""A disk of the engine in memory: layers of blocks, and frozen points of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

from mooring.engine.interface import Source
from mooring.engine.lineage import GROWN, next_merge
from mooring.model.errors import LineageLostError, PointNotFoundError
from mooring.model.extents import BLOCK_SIZE, Extent, Image, joined

Blocks = dict[int, bytes | None]
"""What a layer holds: block number to content, None for a block of zeros."""

ZEROS = bytes(BLOCK_SIZE)


@dataclass
class Overlay:
    """What was written since `point`, which lies right below, to a disk of `size` bytes."""

    point: str
    size: int
    blocks: Blocks = field(default_factory=dict)


class LazySource:
    """The blocks of a source, read when they are asked for."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.filled = 0

    def block(self, number: int) -> bytes:
        inside = (number + 1) * BLOCK_SIZE <= self.image.size
        return bytes(self.image.read(number * BLOCK_SIZE, BLOCK_SIZE)) if inside else ZEROS

    def blocks(self) -> Blocks:
        """All that holds data."""
        return {
            offset // BLOCK_SIZE: bytes(self.image.read(offset, BLOCK_SIZE))
            for extent in self.image.extents()
            if not extent.zero
            for offset in range(extent.offset, extent.end, BLOCK_SIZE)
        }


@dataclass
class MemoryDisk:
    """Overlays on a base, as docs/formats/layers.md has them; the last takes the writes."""

    base: Blocks
    overlays: list[Overlay]
    released: dict[str, bool] = field(default_factory=dict)
    pinned: Counter[str] = field(default_factory=Counter)
    instance: str | None = None
    export: str = ""
    description: bytes | None = None
    source: LazySource | None = None
    """What stands below the base until it is filled."""
    past: list[MemoryDisk] = field(default_factory=list)
    """What it held before reverts, as long as snapshots need that, oldest first."""
    reverted_at: str | None = None

    @property
    def size(self) -> int:
        return self.overlays[-1].size

    @property
    def stored_blocks(self) -> int:
        """Blocks of its layers that hold anything but zeros."""
        layers = (self.base, *(one.blocks for one in self.overlays))
        own = sum(block is not None for layer in layers for block in layer.values())
        return own + sum(one.stored_blocks for one in self.past)

    def put_on_top(self, point: str, size: int | None = None) -> None:
        """Fix what there is; the disk may be larger from then on."""
        self.overlays.append(Overlay(point, size or self.size))

    def layer(self, place: int) -> Blocks:
        return self.base if place < 0 else self.overlays[place].blocks

    def merge(self) -> None:
        """Do all merges that are due."""
        while True:
            ready = self.source is None
            released = self.released | {GROWN: False}
            due = next_merge(self.points(), released, +self.pinned, base_ready=ready)
            if due is None:
                break
            bottom = self.layer(due.bottom)
            for place in range(due.bottom + 1, due.top + 1):
                bottom.update(self.layer(place))
            if due.bottom >= 0:
                self.overlays[due.bottom].size = self.overlays[due.top].size
            del self.overlays[due.bottom + 1 : due.top + 1]
        self.past = [one for one in self.past if one.is_needed(+self.pinned)]
        known = self.points()
        self.released = {point: stored for point, stored in self.released.items() if point in known}

    def write(self, offset: int, data: bytes) -> None:
        """Write whole blocks."""
        top = self.overlays[-1].blocks
        for number in range(len(data) // BLOCK_SIZE):
            block = data[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]
            top[offset // BLOCK_SIZE + number] = block

    def zero(self, offset: int, length: int) -> None:
        """Make whole blocks read as zeros."""
        top = self.overlays[-1].blocks
        for number in range(offset // BLOCK_SIZE, (offset + length) // BLOCK_SIZE):
            top[number] = None

    def read(self, offset: int, length: int) -> bytes:
        """Read whole blocks, as they are now."""
        layers = [self.base, *(overlay.blocks for overlay in self.overlays)]
        return _read(layers, offset, length, self.source)

    def fork(self, point: str, size: int) -> MemoryDisk:
        """Another disk, with what this one holds at the point, and at least `size` bytes.

        Raises PointNotFoundError.
        """
        if point not in self.points() or point in self.released:
            raise PointNotFoundError(f"there is no frozen point {point}")
        below = self.overlays[: self.points().index(point)]
        overlays = [Overlay(one.point, one.size, dict(one.blocks)) for one in below]
        overlays.append(Overlay(point, max(size, overlays[-1].size)))
        made = MemoryDisk(dict(self.base), overlays)
        if self.source is not None:
            made.source = LazySource(self.source.image)
            made.source.filled = self.source.filled
        made.released = dict.fromkeys(made.points(), False)
        return made

    def revert(self, source: Source, point: str, *, size: int, keep: bool) -> None:
        """Hold what the source holds; what it held is kept as the point, if that is wished."""
        before = MemoryDisk(self.base, self.overlays, self.released, source=self.source)
        if keep:
            before.put_on_top(point)
        self.past.append(before)
        self.base, self.overlays = {}, [Overlay(source.snapshot_id, size)]
        self.released, self.reverted_at = {}, point
        self.source = LazySource(source.open())
        self.merge()

    def is_needed(self, pinned: Container[str]) -> bool:
        """Whether a point of the past may still be opened, or is open: it is among `pinned`."""
        return any(one in pinned or one not in self.released for one in self.own_points())

    def own_points(self) -> list[str]:
        """The points that can be opened, oldest first."""
        return [point for point in self.points()[1:] if point != GROWN]

    def past_points(self) -> list[str]:
        """The points that can be opened, of before reverts."""
        return [point for before in self.past for point in before.own_points()]

    def points(self) -> list[str]:
        """The point right below each overlay, the origin first."""
        return [overlay.point for overlay in self.overlays]

    def open_point(self, point: str, close: Callable[[], None]) -> FrozenBlocks:
        """The content at a point above the origin; `close` is called when the reader is done."""
        below = self.overlays[: self.points().index(point)]
        # All that the source holds, so that the point outlives it.
        base = {} if self.source is None else self.source.blocks()
        return FrozenBlocks(below[-1].size, point, base | self.base, below, close)


class FrozenBlocks:
    """A frozen point: copies of the layers as they were when it was opened."""

    def __init__(
        self,
        size: int,
        point: str,
        base: Blocks,
        overlays: Sequence[Overlay],
        close: Callable[[], None],
    ) -> None:
        self.size = size
        self._point = point
        self._points = [overlay.point for overlay in overlays]
        self._layers = [base, *(dict(overlay.blocks) for overlay in overlays)]
        self._close = close
        self._open = True

    def extents(self) -> Iterator[Extent]:
        content: Blocks = {}
        for layer in self._layers:
            content.update(layer)
        yield from _extents({n: block for n, block in content.items() if block is not None})

    def changes(self, since: str) -> Iterator[Extent]:
        if since == self._point:
            return
        if since not in self._points:
            raise LineageLostError(f"what changed since point {since} is no longer known")
        changed: Blocks = {}
        for layer in self._layers[1 + self._points.index(since) :]:
            changed.update(layer)
        yield from _extents(changed)

    def read(self, offset: int, length: int) -> bytes:
        return _read(self._layers, offset, length)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._close()


def _read(
    layers: list[Blocks], offset: int, length: int, source: LazySource | None = None
) -> bytes:
    def block(number: int) -> bytes:
        for layer in reversed(layers):
            if number in layer:
                return layer[number] or ZEROS
        return ZEROS if source is None else source.block(number)

    numbers = range(offset // BLOCK_SIZE, (offset + length) // BLOCK_SIZE)
    return b"".join(block(number) for number in numbers)


def _extents(blocks: Blocks) -> Iterator[Extent]:
    numbers = sorted(blocks)
    return joined(Extent(n * BLOCK_SIZE, BLOCK_SIZE, blocks[n] is None) for n in numbers)
