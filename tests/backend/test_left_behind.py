"""What lies on a host of disks that are another's by now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.backend.left_behind import left_behind
from mooring.catalog.database import Catalog
from mooring.model.resources.host import Host
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """With the disk `mine`, and `moved`, which the host beta has by now."""
    world = World(catalog=Catalog(postgresql.url()))
    add_host(world, world.backend.host)
    for name in ("mine", "moved"):
        world.disk(name)
    add_host(world, "beta")
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, "moved")
        assert disk is not None
        assert disk.host == world.backend.host
        transaction.disks.change(disk.id, host="beta")
    yield world
    world.close()


def add_host(world: World, name: str) -> None:
    with world.catalog.write() as transaction:
        transaction.hosts.begin(Host(id=name, name=name, zones=[ZONE]), 0)


def test_what_was_restored_elsewhere_is_told_also_if_nothing_describes_it(world: World) -> None:
    """A host may fall before it has written down whose layers they are."""
    assert not world.engine.descriptions()
    (told,) = map(str, left_behind(world.backend))
    assert "disk moved in us-east-2a: was moved to beta" in told


def test_what_all_hosts_reach_is_left_behind_by_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.engine), "shared", True)
    assert left_behind(world.backend) == []
