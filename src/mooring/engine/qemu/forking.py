"""Forking: a new disk of a frozen point of another one, usable at once.

The fork gets the layers below the point, under the same names, and an overlay of its own on top;
so it knows the same points, and changes are counted from them. Where the file system has reflinks
each file is cloned, and the fork stands by itself. Elsewhere the files are linked into the
folder `shared`, from which they are only read: as long as a file has two names nothing is merged
into it or those below, in neither disk. Afterwards each file is copied, and the storage daemon
changes the copies for the others. The disk that was forked may be deleted meanwhile.

All of it is put together elsewhere and gets its name at the end. Killed before, nothing is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.engine.interface import Filling
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.base_source import read_reached, write_reached, write_source
from mooring.engine.qemu.layers.disk_layers import DiskLayers, io_errors
from mooring.engine.qemu.layers.layer import BASE_NUMBER, FILLING_NAME, FORKED_NAME, Layer
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.registry import Registry
from mooring.host.pace import Pace, Rests
from mooring.model.errors import (
    EngineError,
    MooringError,
    PointNotFoundError,
    RevertedError,
)

STAGING = "forks"
"""The folder beside those of the disks in which forks are put together."""


def fork(
    registry: Registry,
    merger: Merger,
    staging: Path,
    disk_id: str,
    point: str,
    fork_id: str,
    size: int,
) -> int:
    """Make the disk `fork_id` of the disk's frozen point, with at least `size` bytes.

    Returns how many it has. Raises EngineError, DiskFullError, DiskTooLargeError.
    """
    disk, made = registry.existing(disk_id), registry.disk(fork_id)
    with contextlib.ExitStack() as locks:
        for one in sorted((disk, made), key=lambda one: one.layers.disk_id):
            locks.enter_context(one.lock)
        if made.layers.exist():
            return made.layers.size()
        if point in disk.released:
            # What was written after it may be on its way into the layers below.
            raise PointNotFoundError(f"the frozen point {point} of disk {disk_id} was released")
        below = _below(disk.layers, point)
        store = registry.store
        staged = DiskLayers(staging, fork_id, store=store)
        with contextlib.suppress(OSError):
            store.remove_folder(staged.folder)
        try:
            with io_errors(fork_id):
                store.make_folder(staged.folder)
                _begin_base(disk.layers, staged, below[0])
                if not _cloned(staged, below):
                    # Nothing may write to what is shared, not even to a header.
                    merger.end(disk)
                    _link(disk.layers, staged, _below(disk.layers, point))
                size = max(size, below[-1].size)
                if size > below[-1].size:
                    staged.check_possible(size)
                staged.add_overlay(point, size)
                store.sync(staged.folder)
                store.rename(staged.folder, made.layers.folder)
                store.sync(made.layers.folder.parent)
        except BaseException:
            with contextlib.suppress(OSError, MooringError):
                store.remove_folder(staged.folder)
            raise
        return size


def _below(layers: DiskLayers, point: str) -> list[Layer]:
    """The layers below the point, lowest first. Raises PointNotFoundError."""
    found = layers.check()
    places = [place for place, layer in enumerate(found) if layer.point == point]
    if not places:
        raise PointNotFoundError(f"disk {layers.disk_id} has no frozen point {point}")
    return found[: places[-1]]


def _begin_base(layers: DiskLayers, staged: DiskLayers, base: Layer) -> None:
    """A base that is not filled yet is not filled in the fork, either."""
    if base.source is None:
        return
    store = layers.store
    staged.begin_base(base.size).close()
    write_source(store, staged.folder, base.source)
    # What is there already need not be read from the snapshot again; how much that is, is asked
    # first, because the filling goes on meanwhile.
    source, target = layers.folder / FILLING_NAME, staged.folder / FILLING_NAME
    reached = read_reached(store, layers.folder)
    if reached and store.clone(source, target):
        store.sync(target)
        write_reached(store, staged.folder, reached)


def _cloned(staged: DiskLayers, layers: Sequence[Layer]) -> bool:
    """Clone the files; False, and nothing is done, if the file system cannot."""
    for layer in layers:
        if layer.source is not None:
            continue
        target = staged.own_path(layer)
        if not staged.store.clone(layer.path, target):
            return False
        if layer.number != BASE_NUMBER:
            with contextlib.closing(staged.store.open(target, write=True)) as file:
                qcow2.belong_to(file, staged.disk_id)
        staged.store.sync(target)
    # A base with a source alone proves nothing, but then there is nothing to share.
    return True


def _link(layers: DiskLayers, staged: DiskLayers, below: Sequence[Layer]) -> None:
    store = staged.store
    store.make_folder(staged.shared_folder)
    others = layers.forked_from()
    for layer in below:
        if layer.source is not None:
            continue
        store.link(layer.path, staged.shared_folder / layer.path.name)
    # All of them can merge more once the fork has let go.
    store.write_text(staged.shared_folder / FORKED_NAME, "\n".join([layers.disk_id, *others]))


def status(disk: LiveDisk) -> Filling | None:
    """How far the copying of shared layers is, in bytes; None if all are the disk's own."""
    if not disk.layers.store.exists(disk.layers.shared_folder):
        return None
    return _so_far(*_amounts(disk.layers), disk.filled)


def _amounts(layers: DiskLayers) -> tuple[int, int]:
    """Bytes of all layers that were shared, and of those that still are."""
    store, shared = layers.store, layers.shared_folder
    total = sum(store.allocated(shared / name) for name in store.names(shared))
    return total, sum(store.allocated(layer.path) for layer in layers.shared())


def _so_far(total: int, left: int, done: int) -> Filling:
    return Filling(min(total, total - left + done), total, forked=True)


def stand_alone(
    registry: Registry, merger: Merger, disk_id: str, progress: Callable[[Filling], None]
) -> None:
    """Copy what the disk shares, and let it do without. Raises EngineError, DiskFullError."""
    disk = registry.existing(disk_id)
    # A revert gives the disk others: these stay where they are.
    layers = disk.layers
    if not layers.store.exists(layers.shared_folder):
        return
    pace = Pace(registry.clock, registry.settings.fill_bytes_per_second)
    rests = Rests(registry.clock)
    for layer in layers.shared():
        amounts = _amounts(layers)

        def tell(done: int, amounts: tuple[int, int] = amounts) -> None:
            if disk.layers is not layers:
                raise RevertedError(f"disk {disk_id} was reverted while its layers were copied")
            pace.spend(done - disk.filled)
            disk.filled = done
            layers.store.check_room(layers.folder, registry.settings.margin_bytes // 2)
            progress(_so_far(*amounts, done))

        try:
            _copy(layers, layer, tell, rests)
        finally:
            disk.filled = 0
    forked = disk.layers.forked_from()
    with disk.lock:
        disk.switch_due = True
    merger.wake(disk_id)
    if not merger.await_switch(disk, 3 * registry.settings.answer_seconds):
        raise EngineError(
            f"disk {disk_id} has its own layers, but its storage daemon still reads those of the "
            f"disk that it was forked from: {disk.merge_problem or 'it is busy'}"
        )
    for one in forked:
        merger.wake(one)


def _copy(layers: DiskLayers, layer: Layer, tell: Callable[[int], None], rests: Rests) -> None:
    """Copy one layer; it gets its name when it is whole and durable."""
    store = layers.store
    with io_errors(layers.disk_id), layers.own_copy(layer) as file:
        store.copy(layer.path, file, tell, rests)
        if layer.number != BASE_NUMBER:
            qcow2.belong_to(file, layers.disk_id)
        if not store.exists(layers.folder):
            raise EngineError(f"disk {layers.disk_id} was deleted while its layers were copied")
