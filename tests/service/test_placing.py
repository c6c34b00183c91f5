"""Where something new is, among hosts of one zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import (
    DiskFullError,
    HostElsewhereException,
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.resources.host import HOST_TAG, Host
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import ZONE, World

GB = 1024**3


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    world = World(catalog=Catalog(postgresql.url()))
    yield world
    world.close()


def add_host(world: World, name: str, free_gb: int, zone: str = ZONE) -> None:
    """A host of the zone that is up, with 1000 GB; the world's own is called `here`."""
    with world.catalog.write() as transaction:
        generation = transaction.hosts.begin(Host(id=name, name=name, zones=[zone]), 0)
        room = {"capacity_bytes": 1000 * GB, "free_bytes": free_gb * GB}
        transaction.hosts.beat(name, generation, 0, **room)


def made_at(world: World, name: str, host: str = "", size_gb: int = 8) -> str:
    """On which host a new disk is."""
    tags: list[dict[str, Any]] = [{"key": HOST_TAG, "value": host}] if host else []
    world.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=size_gb, tags=tags)
    with world.catalog.read() as transaction:
        disk = transaction.disks.by_name("us-east-2", name)
        assert disk is not None
        (job,) = [one for one in transaction.jobs.all() if one.key == disk.id]
    assert job.server == disk.host
    return disk.host


@pytest.mark.full
def test_the_one_with_the_fewest_unless_it_is_almost_full(world: World) -> None:
    add_host(world, "here", 500)
    add_host(world, "other", 600)
    add_host(world, "full", 90)
    add_host(world, "elsewhere", 900, zone="us-east-2b")

    assert [made_at(world, f"disk-{n}") for n in range(4)] == ["other", "here", "other", "here"]
    assert made_at(world, "large", size_gb=550) == "other", "no other has the room"
    assert made_at(world, "chosen", host="full") == "full"
    with pytest.raises(InvalidInputException, match="no host elsewhere; its hosts are: full, her"):
        made_at(world, "wrong", host="elsewhere")


@pytest.mark.full
def test_nothing_is_put_on_a_host_that_is_not_up(world: World) -> None:
    add_host(world, "here", 500)
    add_host(world, "other", 600)
    with world.catalog.write() as transaction:
        transaction.hosts.fence("other")
    assert [made_at(world, f"disk-{n}") for n in range(2)] == ["here", "here"]
    with pytest.raises(OperationFailureException, match="other is fenced right now"):
        made_at(world, "wrong", host="other")
    with world.catalog.write() as transaction:
        transaction.hosts.fence("here")
    assert made_at(world, "waits") == "", "whichever comes first makes it"


@pytest.mark.full
def test_room_is_looked_for_where_the_disk_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_host(world, "here", 500)
    add_host(world, "other", 600)
    for name in ("here", "other"):
        made_at(world, f"at-{name}", host=name)
        with world.catalog.write() as transaction:
            disk = transaction.disks.by_name("us-east-2", f"at-{name}")
            assert disk is not None
            transaction.disks.change(disk.id, state="available")

    def refuse(*uses: str) -> None:
        if "disks" in uses:
            raise DiskFullError("there is no room here")

    monkeypatch.setattr(world.backend.rooms, "check", refuse)
    with pytest.raises(DiskFullError):
        world.snapshot("full", disk="at-here")
    with pytest.raises(HostElsewhereException) as caught:
        world.snapshot("fits", disk="at-other")
    assert caught.value.host == "other"
    made_at(world, "another", host="other")


def test_a_file_has_one_host_and_no_word_for_it() -> None:
    world = World()
    world.disk("data")
    assert HOST_TAG not in str(world.call("GetDisk", diskName="data"))
    with pytest.raises(InvalidInputException, match="there is only this one"):
        made_at(world, "wrong", host="here")
    with world.catalog.read() as transaction:
        (disk,) = transaction.disks.all()
    assert replace(disk, host="") == disk
    world.close()
