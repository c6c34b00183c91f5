"""The room that merges may take on the disks' file system."""

from __future__ import annotations

from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.registry import Registry
from mooring.host.room import check_room
from mooring.host.rooms import DISKS


def check_merge_room(registry: Registry, disk: LiveDisk, *, going_on: bool = False) -> None:
    """Raise DiskFullError if a merge would take the room that disks in use need.

    Its layers give their room back only when it is done.
    """
    margin = registry.settings.margin_bytes
    check_room(disk.layers.folder, DISKS, margin // 2 if going_on else margin)
