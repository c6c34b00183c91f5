"""Hosts that are back after they were lost, or have the name of another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.host.room import Room
from mooring.jobs.watching.hosts import HostWatch
from mooring.model.errors import ConfigurationError, HostElsewhereException, InvalidInputException
from mooring.model.resources.host import Host, SeenHost
from tests.service.lost_host import LOST, begin, disk, fence, moment, restore, world
from tests.service.test_twice_at_once import LingeringCatalog
from tests.service.world import REGION, ZONE, World

__all__ = ["moment", "world"]

pytestmark = pytest.mark.full

SECONDS = 30


def test_hosts_of_one_name_are_told_apart_by_their_ids(world: World) -> None:
    """The machine is replaced by one of its name before what it had is restored."""
    begin(world, "alpha", LOST)
    with world.catalog.write() as transaction:
        transaction.hosts.end(LOST, 2, 0)
    begin(world, "alpha", "new-id")
    told = r"lost \(ended, 2 disks\).*new-id \(up, 0 disks\)|new-id .*, lost "
    with pytest.raises(InvalidInputException, match=told):
        world.act("fence", hostName="alpha", force=True)
    with world.catalog.read() as transaction:
        assert [seen(world, one).is_up for one in (LOST, "new-id")] == [False, True]

    world.act("fence", hostName="new-id", force=True)
    assert [str(seen(world, one).state) for one in (LOST, "new-id")] == ["ended", "fenced"]
    world.act("fence", hostName=LOST)  # of the new one nobody needs anything
    begin(world, "alpha", "new-id")
    assert len(restore(world)) == 2


def seen(world: World, host_id: str) -> SeenHost:
    with world.catalog.read() as transaction:
        found = transaction.hosts.by_id(host_id, 0)
    assert found is not None
    return found


def test_a_host_whose_name_was_given_away_serves_nothing_that_was_restored(world: World) -> None:
    room, mine = Room(Path("/"), 1, 1), world.backend.host
    with world.catalog.write() as transaction:
        for one in transaction.disks.all():
            transaction.disks.change(one.id, host=mine)
    watch = HostWatch(world.backend, Host(id=mine, name="alpha", zones=[ZONE]), lambda: room, list)
    watch.begin()
    assert list(world.engine.served().values()) == [[disk(world, "data").id]]
    with world.catalog.write() as transaction:
        transaction.hosts.fence(mine)
        transaction.disks.change(disk(world, "data").id, host="other")
    begin(world, "alpha", "other")

    with pytest.raises(ConfigurationError, match="give this one a name of its own"):
        watch.look()

    assert world.engine.served() == {}, "two hosts serve it"


@pytest.mark.parametrize("what", ["deleted", "detached"])
def test_a_host_that_comes_back_serves_nothing_that_was_given_up(world: World, what: str) -> None:
    room, mine = Room(Path("/"), 1, 1), world.backend.host
    with world.catalog.write() as transaction:
        for one in transaction.disks.all():
            transaction.disks.change(one.id, host=mine)
    watch = HostWatch(world.backend, Host(id=mine, name=mine, zones=[ZONE]), lambda: room, list)
    watch.begin()
    watch.look()
    assert world.engine.served() != {}
    with world.catalog.write() as transaction:
        transaction.hosts.fence(mine)
        found = transaction.disks.by_name(REGION, "data")
        assert found is not None
        if what == "deleted":
            transaction.disks.remove(found)
        else:
            transaction.disks.change(found.id, instance_id=None)

    watch.look()

    assert world.engine.served() == {}


def test_what_a_host_serves_that_is_back_is_not_deleted_as_lost(world: World) -> None:
    """What this server knows of it is as of a moment ago."""
    fence(world)
    assert world.backend.is_lost(disk(world, "alone"))
    with world.catalog.write() as transaction:
        transaction.hosts.begin(Host(id=LOST, name=LOST, zones=[ZONE]), 0)
    assert world.backend.is_lost(disk(world, "alone")), "or there is nothing to test"
    for operation, name in (("DeleteDisk", "diskName"), ("DeleteInstance", "instanceName")):
        with pytest.raises(HostElsewhereException):
            world.call(operation, **{name: "alone" if operation == "DeleteDisk" else "vm"})


def test_of_two_hosts_of_one_name_that_start_at_once_one_does(world: World) -> None:
    assert isinstance(world.catalog, LingeringCatalog)
    world.catalog.lingers = True
    together = threading.Barrier(2)
    room = Room(Path("/"), 1, 1)

    def start(host_id: str) -> bool:
        host = Host(id=host_id, name="twin", zones=[ZONE])
        watch = HostWatch(world.backend, host, lambda: room, list)
        together.wait(SECONDS)
        try:
            watch.begin()
        except ConfigurationError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(start, ["one", "two"])) == [False, True]
