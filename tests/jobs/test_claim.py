"""Disks of before there were hosts, where several hosts reach their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from mooring.catalog.database import Catalog
from mooring.engine.memory import MemoryEngine
from mooring.jobs.watching.claim import claim
from mooring.model.resources.disk import Disk
from mooring.model.resources.server import Server
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


class WatchedEngine(MemoryEngine):
    """Something happens when the first disk is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def points(self, disk_id: str) -> Sequence[str]:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().points(disk_id)


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """An instance with two disks, and a third one, all on no host."""
    world = World(catalog=Catalog(postgresql.url()))
    world.engines[ZONE] = WatchedEngine()
    world.instance("web")
    for name, path in (("one", "/dev/xvdf"), ("two", "/dev/xvdg")):
        world.disk(name)
        world.attach(name, "web", path)
    world.disk("alone")
    world.settle()
    with world.catalog.write() as transaction:
        for one in transaction.disks.all():
            transaction.disks.change(one.id, host="")
        for two in transaction.instances.all():
            transaction.instances.change(two.id, host="")
    yield world
    world.close()


def disk(world: World, name: str) -> Disk:
    with world.catalog.read() as transaction:
        found = transaction.disks.by_name(REGION, name)
    assert found is not None
    return found


def placed(world: World) -> dict[str, str]:
    """On which host each thing is."""
    with world.catalog.read() as transaction:
        found = {one.name: one.host for one in transaction.disks.all()}
        return found | {one.name: one.host for one in transaction.instances.all()}


def test_of_two_hosts_that_start_at_once_one_has_all(world: World) -> None:
    engine = world.engine
    assert isinstance(engine, WatchedEngine)
    assert set(placed(world).values()) == {""}
    other = replace(world.backend, this_server=Server(id="other"))
    world.call("CreateDiskSnapshot", diskName="alone", diskSnapshotName="waits")
    engine.meanwhile = lambda: claim(other)

    claim(world.backend)

    assert set(placed(world).values()) == {"other"}, "two hosts believe that they have it"
    with world.catalog.read() as transaction:
        jobs = {job.server for job in transaction.jobs.all() if job.zone == ZONE}
    assert jobs == {"other"}


def test_a_disk_stays_with_those_of_its_instance(world: World) -> None:
    with world.catalog.write() as transaction:
        transaction.disks.change(disk(world, "one").id, host="other")
        instance_id = disk(world, "one").instance_id
        assert instance_id is not None
        transaction.instances.change(instance_id, host="other")

    claim(world.backend)

    assert placed(world) == {"web": "other", "one": "other", "two": "", "alone": "here"}
