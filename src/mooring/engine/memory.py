"""An engine that keeps its disks in memory, for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from mooring.engine.interface import DiskHealth, Export, Filling, Freeze, FrozenImage, Source
from mooring.engine.lineage import ZERO_ORIGIN, next_merge
from mooring.model.errors import (
    DiskBusyError,
    EngineError,
    LineageLostError,
    PointNotFoundError,
)
from mooring.model.extents import BLOCK_SIZE, Extent, Image

Blocks = dict[int, bytes | None]
"""What a layer holds: block number to content, None for a block of zeros."""

ZEROS = bytes(BLOCK_SIZE)


@dataclass
class _Overlay:
    point: str
    blocks: Blocks = field(default_factory=dict)


class _Lazy:
    """The blocks of a source, read when they are asked for."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.filled = 0

    def block(self, number: int) -> bytes:
        inside = (number + 1) * BLOCK_SIZE <= self.image.size
        return self.image.read(number * BLOCK_SIZE, BLOCK_SIZE) if inside else ZEROS

    def blocks(self) -> Blocks:
        """All that holds data."""
        return {
            offset // BLOCK_SIZE: self.image.read(offset, BLOCK_SIZE)
            for extent in self.image.extents()
            if not extent.zero
            for offset in range(extent.offset, extent.end, BLOCK_SIZE)
        }


@dataclass
class _Disk:
    size: int
    base: Blocks
    overlays: list[_Overlay]
    released: dict[str, bool] = field(default_factory=dict)
    pinned: Counter[str] = field(default_factory=Counter)
    instance: str | None = None
    export: str = ""
    source: _Lazy | None = None
    """What stands below the base until it is filled."""

    def layer(self, place: int) -> Blocks:
        return self.base if place < 0 else self.overlays[place].blocks

    def merge(self) -> None:
        """Do all merges that are due."""
        while True:
            points = [overlay.point for overlay in self.overlays]
            ready = self.source is None
            due = next_merge(points, self.released, +self.pinned, base_ready=ready)
            if due is None:
                break
            bottom = self.layer(due.bottom)
            for place in range(due.bottom + 1, due.top + 1):
                bottom.update(self.layer(place))
            del self.overlays[due.bottom + 1 : due.top + 1]
        known = {overlay.point for overlay in self.overlays}
        self.released = {point: stored for point, stored in self.released.items() if point in known}


class MemoryEngine:
    """Keeps disks as dictionaries of blocks; `write`, `zero` and `read` stand for a client."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._disks: dict[str, _Disk] = {}
        self._clients: Counter[str] = Counter()

    # --- a client's side

    def write(self, disk_id: str, offset: int, data: bytes) -> None:
        """Write whole blocks to an attached disk."""
        with self._lock:
            top = self._attached(disk_id).overlays[-1].blocks
            for number in range(len(data) // BLOCK_SIZE):
                block = data[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]
                top[offset // BLOCK_SIZE + number] = block

    def zero(self, disk_id: str, offset: int, length: int) -> None:
        """Make blocks of an attached disk read as zeros."""
        with self._lock:
            top = self._attached(disk_id).overlays[-1].blocks
            for number in range(offset // BLOCK_SIZE, (offset + length) // BLOCK_SIZE):
                top[number] = None

    def read(self, disk_id: str, offset: int, length: int) -> bytes:
        """Read whole blocks of an attached disk."""
        with self._lock:
            disk = self._attached(disk_id)
            layers = [disk.base, *(overlay.blocks for overlay in disk.overlays)]
            return _read(layers, offset, length, disk.source)

    def connect(self, disk_id: str) -> None:
        """Count one client more as connected to the disk."""
        self._clients[disk_id] += 1

    def disconnect(self, disk_id: str) -> None:
        """Count one client less."""
        self._clients[disk_id] -= 1

    # --- disks

    def create(self, disk_id: str, size: int) -> None:
        with self._lock:
            known = self._disks.get(disk_id)
            if known is None:
                self._disks[disk_id] = _Disk(size, {}, [_Overlay(ZERO_ORIGIN)])
            elif known.size != size:
                raise EngineError(f"disk {disk_id} exists already with {known.size} bytes")

    def clone(
        self,
        disk_id: str,
        size: int,
        source: Image,
        origin: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        if source.size > size:
            raise EngineError(f"disk {disk_id} of {size} bytes cannot hold {source.size} bytes")
        with self._lock:
            known = self._disks.get(disk_id)
            if known is not None:
                if known.size != size:
                    raise EngineError(f"disk {disk_id} exists already with {known.size} bytes")
                return
        base: Blocks = {}
        done = 0
        for extent in source.extents():
            if extent.zero:
                continue
            for offset in range(extent.offset, extent.end, BLOCK_SIZE):
                base[offset // BLOCK_SIZE] = source.read(offset, BLOCK_SIZE)
                done += BLOCK_SIZE
                progress(done)
        with self._lock:
            self._disks.setdefault(disk_id, _Disk(size, base, [_Overlay(origin)]))

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        if source.size > size:
            raise EngineError(f"disk {disk_id} of {size} bytes cannot hold {source.size} bytes")
        with self._lock:
            known = self._disks.get(disk_id)
            if known is None:
                disk = self._disks[disk_id] = _Disk(size, {}, [_Overlay(source.snapshot_id)])
                disk.source = _Lazy(source.open())
            elif known.size != size:
                raise EngineError(f"disk {disk_id} exists already with {known.size} bytes")

    def fill(
        self, disk_id: str, source: Image, progress: Callable[[Filling], None] = lambda told: None
    ) -> None:
        with self._lock:
            lazy = self._disk(disk_id).source
        if lazy is None:
            return
        for extent in source.extents():
            for offset in range(max(extent.offset, lazy.filled), extent.end, BLOCK_SIZE):
                block = None if extent.zero else source.read(offset, BLOCK_SIZE)
                with self._lock:
                    self._disk(disk_id).base[offset // BLOCK_SIZE] = block
                    lazy.filled = offset + BLOCK_SIZE
                progress(Filling(lazy.filled, source.size))
        with self._lock:
            disk = self._disk(disk_id)
            disk.source = None
            disk.merge()
        lazy.image.close()

    def filling(self, disk_id: str) -> Filling | None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None or disk.source is None:
                return None
            return Filling(disk.source.filled, disk.source.image.size)

    def delete(self, disk_id: str) -> None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is not None and disk.instance is not None:
                raise EngineError(f"disk {disk_id} is attached to instance {disk.instance}")
            self._disks.pop(disk_id, None)

    def health(self, disk_id: str) -> DiskHealth:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None:
                return DiskHealth(False, f"disk {disk_id} does not exist", damaged=True)
            return DiskHealth(True, "", len(disk.overlays) + 1, self.points(disk_id))

    # --- attaching

    def attach(self, instance_id: str, export: Export) -> None:
        with self._lock:
            disk = self._disk(export.disk_id)
            if disk.instance not in (None, instance_id):
                raise EngineError(f"disk {export.disk_id} is attached to instance {disk.instance}")
            if disk.instance == instance_id and disk.export != export.name:
                raise EngineError(f"disk {export.disk_id} is served already as {disk.export!r}")
            for other_id, other in self._disks.items():
                if (other.instance, other.export) == (instance_id, export.name) and other != disk:
                    raise EngineError(f"disk {other_id} is served already as {export.name!r}")
            disk.instance, disk.export = instance_id, export.name

    def detach(self, instance_id: str, disk_id: str, *, force: bool = False) -> None:
        with self._lock:
            disk = self._disk(disk_id)
            if disk.instance != instance_id:
                return
            if self._clients[disk_id] > 0 and not force:
                raise DiskBusyError(f"a client is connected to disk {disk_id}")
            self._clients[disk_id] = 0
            disk.instance = None

    def stop(self, instance_id: str) -> None:
        with self._lock:
            for disk_id, disk in self._disks.items():
                if disk.instance == instance_id:
                    self.detach(instance_id, disk_id, force=True)

    def uri(self, instance_id: str, export_name: str) -> str:
        return f"nbd+unix:///{quote(export_name, safe='')}?socket=/nonexistent/{instance_id}"

    def adopt(self, wanted: Mapping[str, Sequence[Export]]) -> None:
        with self._lock:
            pairs = {
                (instance, export.disk_id): export
                for instance, exports in wanted.items()
                for export in exports
            }
            for disk_id, disk in self._disks.items():
                if disk.instance is not None and (disk.instance, disk_id) not in pairs:
                    self.detach(disk.instance, disk_id, force=True)
            for (instance, disk_id), export in pairs.items():
                if disk_id in self._disks:
                    self.attach(instance, export)

    # --- freezing

    def freeze(self, points: Mapping[str, str]) -> Freeze:
        with self._lock:
            disks = {disk_id: self._disk(disk_id) for disk_id in points}
            if len({disk.instance for disk in disks.values()}) > 1:
                raise EngineError("disks can be frozen together only if one instance has them all")
            for disk_id, point in points.items():
                overlays = disks[disk_id].overlays
                if point not in {overlay.point for overlay in overlays}:
                    overlays.append(_Overlay(point))
            return Freeze(0.0)

    def points(self, disk_id: str) -> Sequence[str]:
        with self._lock:
            known = [overlay.point for overlay in self._disk(disk_id).overlays]
            return [point for point in known if point != ZERO_ORIGIN]

    def open_point(self, disk_id: str, point_id: str) -> FrozenImage:
        with self._lock:
            disk = self._disk(disk_id)
            known = [overlay.point for overlay in disk.overlays]
            if point_id not in known[1:]:
                raise PointNotFoundError(f"disk {disk_id} has no frozen point {point_id}")
            disk.pinned[point_id] += 1
            below = disk.overlays[: known.index(point_id)]
            # All that the source holds, so that the point outlives it.
            base = {} if disk.source is None else disk.source.blocks()
            return _MemoryImage(self, disk, point_id, [base | disk.base], below)

    def release(self, disk_id: str, point_id: str, *, stored: bool) -> None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None:
                return
            disk.released[point_id] = stored or disk.released.get(point_id, False)
            disk.merge()

    def settle(self, timeout: float = 30.0) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held outside of the object."""

    def unpin(self, disk: _Disk, point: str) -> None:
        """Called by an image that was closed."""
        with self._lock:
            disk.pinned[point] -= 1
            disk.merge()

    def _disk(self, disk_id: str) -> _Disk:
        disk = self._disks.get(disk_id)
        if disk is None:
            raise EngineError(f"disk {disk_id} does not exist")
        return disk

    def _attached(self, disk_id: str) -> _Disk:
        disk = self._disk(disk_id)
        if disk.instance is None:
            raise EngineError(f"disk {disk_id} is not attached")
        return disk


class _MemoryImage:
    """A frozen point: copies of the layers as they were when it was opened."""

    def __init__(
        self,
        engine: MemoryEngine,
        disk: _Disk,
        point: str,
        base: list[Blocks],
        overlays: list[_Overlay],
    ) -> None:
        self._engine = engine
        self._disk = disk
        self._point = point
        self._points = [overlay.point for overlay in overlays]
        self._layers = base + [dict(overlay.blocks) for overlay in overlays]
        self._open = True

    @property
    def size(self) -> int:
        return self._disk.size

    def extents(self) -> Iterator[Extent]:
        content: Blocks = {}
        for layer in self._layers:
            content.update(layer)
        yield from _extents({n: block for n, block in content.items() if block is not None})

    def changes(self, since: str) -> Iterator[Extent]:
        if since == self._point:
            return
        if since not in self._points:
            raise LineageLostError(f"what changed since point {since} is not known any more")
        changed: Blocks = {}
        for layer in self._layers[1 + self._points.index(since) :]:
            changed.update(layer)
        yield from _extents(changed)

    def read(self, offset: int, length: int) -> bytes:
        return _read(self._layers, offset, length)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._engine.unpin(self._disk, self._point)


def _read(layers: list[Blocks], offset: int, length: int, source: _Lazy | None = None) -> bytes:
    def block(number: int) -> bytes:
        for layer in reversed(layers):
            if number in layer:
                return layer[number] or ZEROS
        return ZEROS if source is None else source.block(number)

    numbers = range(offset // BLOCK_SIZE, (offset + length) // BLOCK_SIZE)
    return b"".join(block(number) for number in numbers)


def _extents(blocks: Blocks) -> Iterator[Extent]:
    """Join neighbours of the same kind."""
    first: int | None = None
    end = 0
    zero = False
    for number in sorted(blocks):
        if first is not None and (number != end or (blocks[number] is None) != zero):
            yield Extent(first * BLOCK_SIZE, (end - first) * BLOCK_SIZE, zero)
            first = None
        if first is None:
            first, zero = number, blocks[number] is None
        end = number + 1
    if first is not None:
        yield Extent(first * BLOCK_SIZE, (end - first) * BLOCK_SIZE, zero)
