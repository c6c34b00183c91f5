"""Making a disk that is usable immediately, and filling it afterwards.

The base of such a disk is `base.raw.filling`, which nobody reads; instead the daemon puts the
lowest overlay on the source, over NBD. The filling copies the source into the file as if there
were no disk on it. When it is done, the file gets its name, and the daemon replaces the source by
the file below the lowest overlay: both have the same content. docs/design/restore.md says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mooring.engine.interface import Filling, Source
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.layers.base_source import (
    BaseSource,
    read_reached,
    write_reached,
    write_source,
)
from mooring.engine.qemu.layers.disk_layers import DiskLayers, io_errors
from mooring.engine.qemu.layers.layer import FILLING_NAME
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.registry import Registry
from mooring.host.pace import Pace
from mooring.model.errors import EngineError, RevertedError
from mooring.model.extents import Image
from mooring.nbd.uri import parse_uri


def begin(disk: LiveDisk, size: int, source: Source) -> None:
    """Make the layers of a disk that reads from `source`. The caller holds the disk's lock."""
    try:
        disk.layers.begin_lazy_base(size, place_of(source))
        disk.layers.add_overlay(source.snapshot_id)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.layers.remove_leftovers()
        raise


def renew(disk: LiveDisk, source: Source) -> None:
    """Read from another place than before what is not filled and not served yet.

    Of a disk that was reverted the past may be made from one snapshot, the present from another.
    """
    place = place_of(source)
    for layers in (disk.layers, *(past.layers for past in disk.past)):
        known = layers.base.source
        if known not in (None, place) and origin(layers) == source.snapshot_id:
            with io_errors(layers.disk_id):
                write_source(layers.store, layers.folder, place)


def origin(layers: DiskLayers) -> str | None:
    """The snapshot that the layers of a disk that is not filled are made from."""
    overlays = layers.overlays()
    return overlays[0].point if overlays else None


def place_of(source: Source) -> BaseSource:
    """Where the layers of a disk read the source. Raises EngineError."""
    place = parse_uri(source.uri)
    if place.socket is None:
        raise EngineError(f"{source.uri} is not on a Unix socket, so disks cannot be based on it")
    return BaseSource(place.socket, place.export, source.size)


def status(disk: LiveDisk) -> Filling | None:
    """How far the filling is; None if there is nothing to fill."""
    source = disk.layers.base.source
    if source is None or not disk.layers.exist():
        return None
    done = max(disk.filled, read_reached(disk.layers.store, disk.layers.folder))
    return Filling(min(done, source.size), source.size, snapshot_id=origin(disk.layers))


def fill_base(
    registry: Registry,
    merger: Merger,
    disk: LiveDisk,
    image: Image,
    snapshot: str | None,
    progress: Callable[[Filling], None],
) -> None:
    """Fill the base and have the daemon use it. Raises EngineError, DiskFullError."""
    # A revert gives the disk others: these stay where they are.
    layers, disk_id = disk.layers, disk.layers.disk_id
    if layers.base.source is not None:
        if snapshot not in (None, origin(layers)):
            raise RevertedError(f"disk {disk_id} is not made from the snapshot {snapshot} any more")
        _copy(registry, disk, layers, image, progress)
    with disk.lock:
        disk.switch_due = True
    merger.wake(disk_id)
    if not merger.await_switch(disk, 3 * registry.settings.answer_seconds):
        raise EngineError(
            f"disk {disk_id} is filled, but its storage daemon still reads from the snapshot: "
            f"{disk.merge_problem or 'it is busy'}"
        )


def _copy(
    registry: Registry,
    disk: LiveDisk,
    layers: DiskLayers,
    image: Image,
    progress: Callable[[Filling], None],
) -> None:
    pace = Pace(registry.clock, registry.settings.fill_bytes_per_second)
    start = read_reached(layers.store, layers.folder)
    paid = 0

    def reached(position: int, durable: bool) -> None:
        disk.filled = position if disk.layers is layers else 0
        if durable and layers.store.exists(layers.folder):
            write_reached(layers.store, layers.folder, position)

    def tell(done: int) -> None:
        nonlocal paid
        if disk.layers is not layers:
            raise RevertedError(f"disk {layers.disk_id} was reverted while it was being filled")
        layers.store.check_room(layers.folder, registry.settings.margin_bytes // 2)
        progress(Filling(disk.filled, image.size))
        pace.spend(done - paid)
        paid = done

    file = layers.open_filling()
    try:
        with io_errors(layers.disk_id):
            file.fill(image, tell, start=start, reached=reached)
            file.sync()
        with disk.lock:
            if not file.has_name(disk.layers.folder / FILLING_NAME):
                raise RevertedError(
                    f"disk {layers.disk_id} was deleted or reverted while it was being filled"
                )
            layers.finish_base()
    finally:
        if disk.layers is layers:
            disk.filled = 0
        file.close()
