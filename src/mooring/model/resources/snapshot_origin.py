"""What a root tells of a snapshot beside its disk: docs/formats/vault.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mooring.model.resources.own_blueprint import Platform
from mooring.model.resources.snapshot import DiskSnapshot

INSTANCE_ID, INSTANCE_NAME = "instance-id", "instance-name"
"""The instance by whose name a snapshot of its system disk was asked for."""

SYSTEM_DISK = "system-disk"
"""That the disk was an instance's own system disk."""

BLUEPRINT = "blueprint"
"""That it is a blueprint, for which platform."""


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
    if snapshot.blueprint is not None:
        told[BLUEPRINT] = snapshot.blueprint
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
        blueprint=_platform(extra.get(BLUEPRINT)),
    )


def _platform(told: str | None) -> Platform | None:
    """A later version may know more of them."""
    if told is None:
        return None
    return Platform(told) if told in list(Platform) else Platform.LINUX
