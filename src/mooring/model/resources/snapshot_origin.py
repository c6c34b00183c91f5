"""What a root keeps of where a snapshot comes from, beside its disk: docs/formats/vault.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mooring.model.resources.snapshot import DiskSnapshot

INSTANCE_ID, INSTANCE_NAME = "instance-id", "instance-name"
"""The instance by whose name a snapshot of its system disk was asked for."""

SYSTEM_DISK = "system-disk"
"""That the disk was an instance's own system disk."""


def tell_origin(snapshot: DiskSnapshot) -> dict[str, str]:
    """What goes into a root's `extra`."""
    told: dict[str, str] = {}
    if snapshot.from_instance_id is not None and snapshot.from_instance_name is not None:
        told |= {
            INSTANCE_ID: snapshot.from_instance_id,
            INSTANCE_NAME: snapshot.from_instance_name,
        }
    if snapshot.is_system:
        told[SYSTEM_DISK] = "yes"
    return told


def with_origin(snapshot: DiskSnapshot, extra: Mapping[str, str]) -> DiskSnapshot:
    """The snapshot with what its root's `extra` tells."""
    instance_id, instance_name = extra.get(INSTANCE_ID), extra.get(INSTANCE_NAME)
    if instance_id is None or instance_name is None:
        instance_id = instance_name = None
    return replace(
        snapshot,
        from_instance_id=instance_id,
        from_instance_name=instance_name,
        is_system=SYSTEM_DISK in extra,
    )
