"""Making a disk that is usable immediately, and filling it afterwards.

The base of such a disk is `base.raw.filling`, which nobody reads; instead the daemon puts the
lowest overlay on the source, over NBD. The filling copies the source into the file as if there
were no disk on it. When it is done, the file gets its name, and the daemon replaces the source by
the file below the lowest overlay: both have the same content. docs/design/restore.md says why.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from mooring.engine.interface import Filling, Source
from mooring.engine.qemu.base_source import BaseSource, read_reached, write_reached, write_source
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.fill import fill
from mooring.engine.qemu.layers import FILLING_NAME, io_errors
from mooring.engine.qemu.merging import Merger
from mooring.engine.qemu.registry import Registry
from mooring.host.pace import Pace
from mooring.host.room import check_room
from mooring.host.rooms import DISKS
from mooring.model.errors import EngineError
from mooring.model.extents import Image
from mooring.nbd.uri import parse_uri


def begin(disk: LiveDisk, size: int, source: Source) -> None:
    """Make the layers of a disk that reads from `source`. The caller holds the disk's lock."""
    try:
        disk.layers.begin_lazy_base(size, _place(source))
        disk.layers.add_overlay(source.snapshot_id)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.layers.remove_leftovers()
        raise


def renew(disk: LiveDisk, source: Source) -> None:
    """Read from another place than before, if the disk is not filled and not served yet."""
    known, place = disk.layers.base.source, _place(source)
    if known is not None and known != place:
        with io_errors(disk.layers.disk_id):
            write_source(disk.layers.folder, place)


def _place(source: Source) -> BaseSource:
    place = parse_uri(source.uri)
    if place.socket is None:
        raise EngineError(f"{source.uri} is not on a Unix socket, so disks cannot be based on it")
    return BaseSource(place.socket, place.export, source.size)


def status(disk: LiveDisk) -> Filling | None:
    """How far the filling is; None if there is nothing to fill."""
    source = disk.layers.base.source
    if source is None or not disk.layers.exist():
        return None
    done = max(disk.filled, read_reached(disk.layers.folder))
    return Filling(min(done, source.size), source.size)


def fill_base(
    registry: Registry,
    merger: Merger,
    disk_id: str,
    image: Image,
    progress: Callable[[Filling], None],
) -> None:
    """Fill the base and have the daemon use it. Raises EngineError, DiskFullError."""
    disk = registry.existing(disk_id)
    if disk.layers.base.source is not None:
        _copy(registry, disk, image, progress)
    with disk.lock:
        disk.switch_due = True
    merger.wake(disk_id)
    if not merger.await_switch(disk, 3 * registry.settings.answer_seconds):
        raise EngineError(
            f"disk {disk_id} is filled, but its storage daemon still reads from the snapshot: "
            f"{disk.merge_problem or 'it is busy'}"
        )


def _copy(
    registry: Registry, disk: LiveDisk, image: Image, progress: Callable[[Filling], None]
) -> None:
    layers = disk.layers
    pace = Pace(registry.clock, registry.settings.fill_bytes_per_second)
    start = disk.filled = read_reached(layers.folder)
    paid = 0

    def reached(position: int, durable: bool) -> None:
        disk.filled = position
        if durable and layers.folder.exists():
            write_reached(layers.folder, position)

    def tell(done: int) -> None:
        nonlocal paid
        check_room(layers.folder, DISKS, registry.settings.margin_bytes // 2)
        progress(Filling(disk.filled, image.size))
        pace.spend(done - paid)
        paid = done

    fd = layers.open_filling()
    try:
        with io_errors(layers.disk_id):
            fill(fd, image, tell, start=start, reached=reached)
            os.fdatasync(fd)
        with disk.lock:
            if not _is(fd, disk):
                raise EngineError(f"disk {layers.disk_id} was deleted while it was being filled")
            layers.finish_base()
    finally:
        disk.filled = 0
        os.close(fd)


def _is(fd: int, disk: LiveDisk) -> bool:
    """Whether the file is still the disk's own."""
    try:
        return os.path.samestat(os.fstat(fd), (disk.layers.folder / FILLING_NAME).stat())
    except FileNotFoundError:
        return False
