"""Reverting: a disk gets a snapshot's content at once, and keeps what it held.

New layers, a base that is read from the snapshot and an overlay named after it, are put together
elsewhere, and get their name in a folder below the disk's own: from then on they are the disk,
and the layers before are its past, which snapshots are still stored from. The overlay that is put
on the past before makes what it holds a frozen point. All of it happens while nobody has the disk
open. Filling, merges and forks that are under way know the folder that they began in, and change
nothing in the new one. Killed before the folder has its name, the disk holds what it held; killed
after, it holds the snapshot.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from mooring.engine.interface import Source
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.freezing import reconcile
from mooring.engine.qemu.layers.base_source import BaseSource
from mooring.engine.qemu.layers.disk_layers import DiskLayers, io_errors
from mooring.engine.qemu.layers.layer import Layer, points, reverted_folder
from mooring.engine.qemu.layers.past import PastLayers
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.registry import Registry
from mooring.model.errors import EngineError, LayerDamagedError, MooringError

STAGING = "reverts"
"""The folder beside those of the disks in which layers are put together."""


def revert(
    registry: Registry,
    merger: Merger,
    disk: LiveDisk,
    source: Source,
    place: BaseSource,
    point: str,
    *,
    size: int,
    keep: bool,
) -> None:
    """Let the disk hold what the source holds. The caller holds its lock.

    Raises EngineError, DiskBusyError, DiskFullError; then the disk holds what it held.
    """
    if disk.layers.reverted_at == point:
        return
    instance = None if disk.instance_id is None else registry.instance(disk.instance_id)
    merger.stop_copying(disk)
    if instance is None:
        merger.stop_offline(disk)
        disk.layers.check_unused()
    elif disk.in_doubt:
        # What is given up may be damaged.
        with contextlib.suppress(*(() if keep else (LayerDamagedError,))):
            reconcile(disk, instance.daemon())
    before, staging = disk.layers, registry.own_folder / STAGING
    store = registry.store
    staged = DiskLayers(staging, before.disk_id, store=store)
    # The next one is that of the overlay that fixes what the disk holds.
    number = before.overlays()[-1].number + 2
    with io_errors(before.disk_id), contextlib.ExitStack() as cleaning:
        cleaning.callback(_remove, staged)
        _remove(staged)
        staged.begin_lazy_base(_size(before, size, keep=keep), place)
        staged.add_overlay(source.snapshot_id, first=number)
        store.sync(staged.folder)
        named = reverted_folder(before.home, number, point)
        if instance is None:
            _switch(disk, staged, named, point if keep else None)
        else:
            with instance.closed(before.disk_id):
                _switch(disk, staged, named, point if keep else None)


def _switch(disk: LiveDisk, staged: DiskLayers, named: Path, point: str | None) -> None:
    """Fix what the disk holds as `point`, and give the new layers their name."""
    before, disk.merge = disk.layers, None
    frozen = None if point is None else _freeze(before, point)
    try:
        staged.store.rename(staged.folder, named)
    except BaseException:
        if frozen is not None:
            with contextlib.suppress(MooringError):
                before.remove_top(frozen)
        raise
    now = DiskLayers(before.home.parent, before.disk_id, named, store=before.store)
    disk.begin_again(now, [*disk.past, PastLayers(before, set(disk.released))])
    before.store.sync(before.home)


def _remove(layers: DiskLayers) -> None:
    with contextlib.suppress(OSError, MooringError):
        layers.store.remove_folder(layers.folder)


def _freeze(layers: DiskLayers, point: str) -> Layer | None:
    """Fix the content of the layers; None if an earlier try has done it."""
    layers.check()
    return None if point in points(layers.overlays()) else layers.add_overlay(point)


def _size(layers: DiskLayers, least: int, *, keep: bool) -> int:
    """The disk keeps its size, of which damaged layers may not tell."""
    try:
        return max(least, layers.size())
    except (LayerDamagedError, EngineError):
        if keep:
            raise
        return least
