"""Fencing and restoring a lost host, where others reach its layers and where none does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import HostElsewhereException
from mooring.model.resources.host import Host
from tests.catalog.postgresql import PostgreSQL, running
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    yield from running()


@pytest.fixture
def world(server: PostgreSQL) -> Iterator[World]:
    """A server that reaches no layers of others, with a disk that is on the host `lost`."""
    world = World(catalog=Catalog(server.url()))
    add_host(world, world.backend.host)
    world.disk("data")
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, "data")
        assert disk is not None
        transaction.disks.change(disk.id, host="lost")
        transaction.hosts.end(world.backend.host, 1, 0)
    yield world
    world.close()


def add_host(world: World, name: str, *, shares: bool = False) -> None:
    shared = [ZONE] if shares else []
    host = Host(id=name, name=name, zones=[ZONE], shared_zones=shared)
    with world.catalog.write() as transaction:
        transaction.hosts.begin(host, 0)


def test_a_host_that_reaches_the_layers_fences(world: World) -> None:
    add_host(world, "lost", shares=True)
    add_host(world, "folders")
    add_host(world, "other", shares=True)
    with pytest.raises(HostElsewhereException) as caught:
        world.act("fence", hostName="lost", force=True)
    assert (caught.value.host, caught.value.zone) == ("other", ZONE)
    with world.catalog.write() as transaction:
        transaction.hosts.end("other", 1, 0)
    told = world.act("fence", hostName="lost", force=True)
    assert told["notShutOut"] == [ZONE]


def test_disks_that_another_host_reaches_need_no_snapshot(world: World) -> None:
    add_host(world, "lost", shares=True)
    add_host(world, "folders")
    world.act("fence", hostName="lost", force=True)
    (left,) = world.act("restore-host", hostName="lost", targetName="folders")["left"]
    assert "has no stored snapshot" in left["why"]
    add_host(world, "other", shares=True)
    (told,) = world.act("restore-host", hostName="lost", targetName="other")["restored"]
    assert (told["asItWas"], told["hostName"]) == (True, "other")


def test_disks_in_folders_need_one(world: World) -> None:
    add_host(world, "lost")
    add_host(world, "other", shares=True)
    assert world.act("fence", hostName="lost", force=True)["notShutOut"] == []
    (left,) = world.act("restore-host", hostName="lost")["left"]
    assert "has no stored snapshot" in left["why"]
