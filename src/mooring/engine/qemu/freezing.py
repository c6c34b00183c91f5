"""Freezing: a new overlay on top, for all disks at one instant.

The new overlays are made, durably, and opened before anything is held back. Then one QMP
transaction puts them all on top: QEMU waits for the writes under way, flushes the old tops, and
switches. Only that transaction is a pause for the disks' users. If anything fails before, the
new overlays are removed; if it is unknown whether the transaction was done, because the daemon
died or fell silent, the point counts as released, and daemon and files are compared the
next time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from mooring.engine.interface import Freeze
from mooring.engine.lineage import GROWN
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.instances import Instance
from mooring.engine.qemu.layers.layer import points as points_of
from mooring.engine.qemu.registry import Registry
from mooring.host.qmp import QmpClosedError, QmpSilenceError
from mooring.model.counts import counted
from mooring.model.errors import EngineError, LayerDamagedError, MooringError


def freeze(registry: Registry, points: Mapping[str, str]) -> Freeze:
    """Freeze disks, all attached to one instance or all detached; `points` is disk to point id.

    Raises EngineError, DiskFullError; then no point exists.
    """
    disks = {disk_id: registry.disk(disk_id) for disk_id in points}
    with contextlib.ExitStack() as locks:
        for disk_id in sorted(disks):
            locks.enter_context(disks[disk_id].lock)
        places = {disk.instance_id for disk in disks.values()}
        if len(places) > 1:
            raise EngineError("disks can be frozen together only if one instance has them all")
        fresh = _not_yet_frozen(points, disks)
        for disk_id in fresh:
            _check_layers(disks[disk_id], registry.settings.most_layers)
        instance_id = places.pop() if places else None
        if not fresh:
            return Freeze(0.0)
        if instance_id is None:
            return _freeze_detached(fresh, disks)
        return _freeze_attached(fresh, disks, registry.instance(instance_id))


def enlarge(registry: Registry, disk: LiveDisk, size: int) -> None:
    """Put a larger overlay on top, without a point. The caller holds the disk's lock.

    Raises EngineError, DiskFullError, DiskTooLargeError; then the disk has its former size.
    """
    disk_id = disk.layers.disk_id
    _check_layers(disk, registry.settings.most_layers)
    disk.layers.check_possible(size)
    if disk.instance_id is None:
        _freeze_detached({disk_id: GROWN}, {disk_id: disk}, size)
    else:
        instance = registry.instance(disk.instance_id)
        _freeze_attached({disk_id: GROWN}, {disk_id: disk}, instance, size)


def _freeze_attached(
    points: Mapping[str, str],
    disks: Mapping[str, LiveDisk],
    instance: Instance,
    size: int | None = None,
) -> Freeze:
    daemon = instance.daemon()
    for disk_id in points:
        if disk_id in instance.problems:
            raise EngineError(f"disk {disk_id} is not served: {instance.problems[disk_id]}")
        if disks[disk_id].in_doubt:
            reconcile(disks[disk_id], daemon)
    try:
        tops = {}
        for disk_id, point in points.items():
            layers = disks[disk_id].layers
            old = layers.overlays()[-1]
            new = layers.add_overlay(point, size)
            tops[disk_id] = (old.number, new.number)
            daemon.layers.add_top(disk_id, new)
        pause = daemon.layers.snapshot(tops)
    except BaseException as error:
        known = not isinstance(error, QmpClosedError | QmpSilenceError)
        for disk_id, point in points.items():
            _undo(disks[disk_id], point, daemon if known else None)
        raise
    _forget_failures(points, disks)
    return Freeze(pause)


def _freeze_detached(
    points: Mapping[str, str], disks: Mapping[str, LiveDisk], size: int | None = None
) -> Freeze:
    added = []
    try:
        for disk_id, point in points.items():
            disk = disks[disk_id]
            if disk.merge is None:
                disk.layers.check_unused()
            added.append((disk, disk.layers.add_overlay(point, size)))
    except BaseException:
        for disk, layer in added:
            with contextlib.suppress(MooringError):
                disk.layers.remove_top(layer)
        raise
    _forget_failures(points, disks)
    return Freeze(0.0)


def _not_yet_frozen(
    points_wanted: Mapping[str, str], disks: Mapping[str, LiveDisk]
) -> Mapping[str, str]:
    """What is left of a freeze that may have been done, in whole, before."""
    fresh = {}
    for disk_id, point in points_wanted.items():
        disk = disks[disk_id]
        overlays = disk.layers.overlays()
        if not overlays:
            raise EngineError(f"disk {disk_id} does not exist")
        if point in disk.failed or point not in points_of(overlays):
            fresh[disk_id] = point
    if fresh and len(fresh) < len(points_wanted) and disks[next(iter(fresh))].instance_id:
        raise EngineError("some of the disks already have these points: freeze with other ids")
    return fresh


def _check_layers(disk: LiveDisk, most: int) -> None:
    """Refuse to freeze a disk whose layers grow faster than they merge."""
    count = len(disk.layers.overlays()) + 1
    if count >= most:
        why = f" ({disk.merge_problem})" if disk.merge_problem else ""
        raise EngineError(
            f"disk {disk.layers.disk_id} has {counted(count, 'layer')} that are not merged "
            f"yet{why}: take snapshots of it less often, or while less is written to it"
        )


def reconcile(disk: LiveDisk, daemon: Daemon) -> None:
    """Take away overlays that were made for a freeze but never put on top.

    The daemon is the judge: it keeps writing to the top that it has. The caller holds the
    disk's lock. Raises LayerDamagedError if the daemon's top has no file any more.
    """
    disk_id = disk.layers.disk_id
    served = daemon.exports.served().get(disk_id)
    if served is None:
        return
    overlays = disk.layers.overlays()
    daemon.layers.drop_above(disk_id, served.top)
    for layer in reversed(overlays):
        if layer.number > served.top:
            disk.layers.remove_top(layer)
    if served.top not in {layer.number for layer in overlays}:
        raise LayerDamagedError(
            f"disk {disk_id} is being written to layer {served.top}, "
            f"which is missing from {disk.layers.folder}"
        )
    disk.in_doubt = False


def _undo(disk: LiveDisk, point: str, daemon: Daemon | None) -> None:
    disk.in_doubt = True
    disk.failed.add(point)
    disk.released[point] = False
    if daemon is not None:
        with contextlib.suppress(MooringError):
            reconcile(disk, daemon)


def _forget_failures(points: Mapping[str, str], disks: Mapping[str, LiveDisk]) -> None:
    for disk_id, point in points.items():
        disks[disk_id].failed.discard(point)
        disks[disk_id].released.pop(point, None)
