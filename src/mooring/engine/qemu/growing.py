"""Growth of a disk, in use or not.

A larger overlay is put on top, as for a freeze; the layers below keep their size, and read as
zeros after their end. What was frozen before is as large as it was. An export has the size that
it had when it was made, so the disk is then served again: its clients are cut off, connect again,
and find the new size. docs/design/engine.md tells why.
"""

from __future__ import annotations

from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.freezing import enlarge, reconcile
from mooring.engine.qemu.registry import Registry
from mooring.model.errors import EngineError


def grow(registry: Registry, disk: LiveDisk, size: int) -> None:
    """Make the disk larger. The caller holds its lock.

    One that has the size already is only served again: perhaps a growth was interrupted. Raises
    EngineError, DiskFullError, DiskTooLargeError.
    """
    disk_id = disk.layers.disk_id
    instance = None if disk.instance_id is None else registry.instance(disk.instance_id)
    if instance is not None and disk.in_doubt:
        reconcile(disk, instance.daemon())
    known = disk.layers.size()
    if size < known:
        raise EngineError(f"disk {disk_id} has {known} bytes: it cannot shrink to {size}")
    if size > known:
        enlarge(registry, disk, size)
    if instance is not None:
        instance.serve_anew(disk_id)
