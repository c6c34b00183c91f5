"""Serving a disk to an instance, and no longer serving it."""

from __future__ import annotations

from mooring.engine.interface import Export
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.instances import Instance
from mooring.engine.qemu.merging.merger import Merger
from mooring.model.errors import EngineError


def attach(merger: Merger, disk: LiveDisk, instance: Instance, export: Export) -> None:
    """Serve the disk as the export says. The caller holds its lock. Raises EngineError."""
    if disk.instance_id not in (None, instance.instance_id):
        raise EngineError(f"disk {export.disk_id} is attached to instance {disk.instance_id}")
    known = instance.exports.get(export.disk_id)
    if known is not None and known != export:
        raise EngineError(f"disk {export.disk_id} is already served as {known.name!r}")
    if disk.instance_id is None:
        merger.stop_offline(disk)
        disk.layers.check()
        disk.layers.check_unused()
        disk.layers.remove_leftovers()
    instance.serve(export)
    disk.instance_id = instance.instance_id
    disk.forget_merge_failures()


def detach(disk: LiveDisk, instance: Instance, *, force: bool) -> None:
    """Serve the disk no longer. The caller holds its lock.

    Raises DiskBusyError if it has clients, unless forced.
    """
    instance.unserve(disk.layers.disk_id, force=force)
    disk.instance_id = None
    disk.merge = None
    disk.forget_merge_failures()
