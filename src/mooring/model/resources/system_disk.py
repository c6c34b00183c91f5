"""The system disk of an instance: its own, or one that a tag names."""

from __future__ import annotations

from collections.abc import Iterable

from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance

SYSTEM_DISK_TAG = "mooring:system-disk"
"""On an instance: the name of the attached disk that its machine boots from."""

SYSTEM_DISK_PATH = "/dev/xvda"
"""Where an instance has its own, as the real service's examples show it."""


def named_by_tag(instance: Instance) -> str | None:
    """The name of the disk that the instance's tag calls its system disk."""
    return instance.tags.get(SYSTEM_DISK_TAG) or None


def system_disk(instance: Instance, disks: Iterable[Disk]) -> Disk | None:
    """The system disk among the disks attached to the instance.

    What somebody has said comes first: a machine with a disk of its own may boot from another.
    """
    known = list(disks)
    name = named_by_tag(instance)
    if name is not None:
        return next((disk for disk in known if disk.name == name), None)
    return next((disk for disk in known if disk.is_system), None)
