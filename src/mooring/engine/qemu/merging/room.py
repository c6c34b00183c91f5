"""The room that merges may take on the disks' file system."""

from __future__ import annotations

from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.registry import Registry


def check_merge_room(registry: Registry, disk: LiveDisk, *, going_on: bool = False) -> None:
    """Raise DiskFullError if a merge would take the room that disks in use need.

    Its layers give their room back only when it is done.
    """
    margin = registry.settings.margin_bytes
    disk.layers.store.check_room(disk.layers.folder, margin // 2 if going_on else margin)
