"""A host that is lost, with an instance and disks; what another does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mooring.backend.hosts import HostBook
from mooring.model.resources.disk import Disk
from mooring.model.resources.host import Host
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.catalog.postgresql import PostgreSQL
from tests.service.test_twice_at_once import LingeringCatalog
from tests.service.world import REGION, ZONE, World

LOST = "lost"


class Moment:
    """Something that happens when the disks are made, and before that is recorded."""

    def __init__(self) -> None:
        self.do: Callable[[], None] = lambda: None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if (job.kind, step, moment) == (JobKind.MOVE_DISKS, "make", "done"):
            do, self.do = self.do, lambda: None
            do()


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def world(postgresql: PostgreSQL, moment: Moment) -> Iterator[World]:
    """This host, and the host `lost` with a running instance, its disk, and another disk.

    Each disk is stored. The jobs of this host are run, those of the other are not.
    """
    world = World(observer=moment, catalog=LingeringCatalog(postgresql.url()))
    object.__setattr__(world.backend, "hosts", HostBook(world.catalog, world.clock))
    begin(world, world.backend.host)
    world.instance("vm")
    for name in ("data", "alone"):
        world.disk(name)
        world.snapshot(f"of-{name}", name)
        world.settle()
    world.attach("data", "vm")
    world.settle()
    begin(world, LOST)
    with world.catalog.write() as transaction:
        for disk in transaction.disks.all():
            transaction.disks.change(disk.id, host=LOST)
        for instance in transaction.instances.all():
            transaction.instances.change(instance.id, host=LOST)
    yield world
    world.close()


def begin(world: World, name: str, host_id: str = "") -> None:
    """A host starts, or is one again."""
    with world.catalog.write() as transaction:
        transaction.hosts.begin(Host(id=host_id or name, name=name, zones=[ZONE]), 0)
    world.backend.hosts.forget()


def fence(world: World) -> None:
    world.act("fence", hostName=LOST, force=True)


def restore(world: World, name: str = LOST) -> list[Any]:
    begin(world, world.backend.host)  # it is heard of, however long the test takes
    with world.catalog.read() as transaction:
        for instance in transaction.instances.all():
            world.engine.stop(instance.id)  # of the lost host, which has the same here
    told = world.act("restore-host", hostName=name, targetName=world.backend.host)
    assert told["left"] == []
    return list(told["restored"])


def disk(world: World, name: str) -> Disk:
    with world.catalog.read() as transaction:
        found = transaction.disks.by_name(REGION, name)
    assert found is not None
    return found


def running(world: World) -> bool:
    with world.catalog.read() as transaction:
        (found,) = transaction.instances.all()
    return found.state is InstanceState.RUNNING


def jobs(world: World, server: str) -> list[JobKind]:
    with world.catalog.read() as transaction:
        return [job.kind for job in transaction.jobs.of_server(server)]
