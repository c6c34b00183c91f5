"""Reverts under test: a disk that held something else at its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.world import REGION, World

THEN, NOW, LATER = b"t" * BLOCK_SIZE, b"n" * BLOCK_SIZE, b"l" * BLOCK_SIZE


@pytest.fixture
def world() -> World:
    """A disk that held THEN in both blocks at the snapshot `then`, and NOW in the first since."""
    world = World()
    disk = world.disk()
    world.write(disk, 0, THEN * 2)
    world.snapshot("then")
    world.settle()
    world.write(disk, 0, NOW)
    return world


def revert(world: World, to: str = "then", **more: Any) -> Mapping[str, Any]:
    access = {"access": more.pop("access")} if "access" in more else {}
    context = Context(REGION, "AKIATEST", "request", more.pop("invocation", None), 0, **access)
    params = {"diskName": "data", "diskSnapshotName": to, **more}
    return own_handlers(world.backend)["revert"](context, params)


def held(world: World, disk: str = "data") -> bytes:
    return world.read(world.disk_id(disk), 0, 2 * BLOCK_SIZE)


def row(world: World, name: str) -> DiskSnapshot:
    with world.catalog.read() as transaction:
        found = transaction.snapshots.by_name(REGION, name)
    assert found is not None
    return found


def stored(world: World, name: str) -> bytes:
    image = world.vault.open(row(world, name).id)
    found = bytes(image.read(0, 2 * BLOCK_SIZE))
    image.close()
    return found


def nothing_left(world: World) -> None:
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
