"""A world with a blueprint of one's own, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.model.access import UNBOUND, Access
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.test_snapshots import content
from tests.service.world import REGION, World

SYSTEM = content(1)
"""What the blueprint holds at its beginning."""


def own(
    world: World, name: str, *, access: Access = UNBOUND, region: str = REGION, **params: Any
) -> dict[str, Any]:
    """One of Mooring's own requests."""
    context = Context(region, "AKIATEST", "r", None, world.clock.now_ms(), access)
    return dict(own_handlers(world.backend)[name](context, params))


def add_blueprint(world: World, blueprint_id: str = "debian-13", **more: Any) -> None:
    """Make a blueprint with `SYSTEM` in it, of a disk that is gone again."""
    world.disk("golden", size=9)
    world.write(world.disk_id("golden"), 0, SYSTEM)
    world.snapshot("golden-1", "golden")
    world.settle()
    own(world, "blueprint", blueprintId=blueprint_id, diskSnapshotName="golden-1", **more)
    world.settle()
    world.call("DeleteDisk", diskName="golden")
    world.call("DeleteDiskSnapshot", diskSnapshotName="golden-1")
    world.settle()


def system_disk(world: World, instance: str = "web") -> Mapping[str, Any]:
    """The system disk as the instance shows it."""
    found = world.call("GetInstance", instanceName=instance)["instance"]["hardware"]["disks"]
    (disk,) = [one for one in found if one["isSystemDisk"]]
    return dict(disk)


def held(world: World, disk: str) -> bytes:
    """What the disk, which is attached, has at its beginning."""
    return world.engine.read(world.disk_id(disk), 0, len(SYSTEM))
