"""Restores while the lost host comes back, or others move the same disks."""

from __future__ import annotations

import pytest

from mooring.jobs.live.fork_disk import standing_alone
from mooring.model.resources.disk import DiskState
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job_arguments import CreateDisk, DeleteDisk, MoveDisks
from mooring.model.resources.job_kind import JobKind
from mooring.taking.moving import put_in_motion
from tests.service.lost_host import (
    LOST,
    Moment,
    begin,
    disk,
    fence,
    jobs,
    moment,
    restore,
    running,
    world,
)
from tests.service.world import REGION, World

__all__ = ["moment", "world"]

pytestmark = pytest.mark.full


def test_what_is_restored_is_here_and_runs(world: World) -> None:
    fence(world)
    assert {one["name"] for one in restore(world)} == {"vm", "alone"}
    world.settle()
    mine = world.backend.host
    assert [disk(world, name).host for name in ("data", "alone")] == [mine, mine]
    assert running(world)
    assert jobs(world, LOST) == []


@pytest.mark.parametrize("when", ["before it is made", "before it is recorded"])
def test_a_host_that_is_back_keeps_what_it_serves(world: World, moment: Moment, when: str) -> None:
    """It has looked which of its disks are elsewhere, and found none: it will not look again."""
    fence(world)
    restore(world)
    if when == "before it is made":
        begin(world, LOST)
    else:
        moment.do = lambda: begin(world, LOST)
    world.settle()

    for name in ("data", "alone"):
        assert disk(world, name).host == LOST, "two hosts serve it"
    assert disk(world, "data").state is DiskState.IN_USE
    assert disk(world, "alone").state is DiskState.AVAILABLE
    assert running(world), "as it was when its host was lost"
    (failed,) = [one for one in world.operations("alone") if one["operationType"] == "RestoreDisk"]
    assert (failed["status"], "is back" in failed["errorDetails"]) == ("Failed", True)
    assert jobs(world, world.backend.host) == []
    # It may not serve what was on its way when it started.
    assert jobs(world, LOST) == [JobKind.START_INSTANCE]


def test_a_disk_that_another_host_has_by_then_stays_there(world: World, moment: Moment) -> None:
    """As when this host stands still, and it is restored on another one meanwhile."""

    def restored_elsewhere() -> None:
        with world.catalog.write() as transaction:
            for one in transaction.disks.all():
                transaction.disks.change(one.id, host="third", state=DiskState.IN_USE)
            for instance in transaction.instances.all():
                transaction.instances.change(instance.id, host="third", state="pending")

    fence(world)
    restore(world)
    moment.do = restored_elsewhere
    world.settle()

    for name in ("data", "alone"):
        found = disk(world, name)
        assert (found.host, found.state) == ("third", DiskState.IN_USE)
    with world.catalog.read() as transaction:
        (instance,) = transaction.instances.all()
    assert instance.state is InstanceState.PENDING, "what the other host does with it goes on"


def test_what_is_being_restored_is_not_restored_twice(world: World) -> None:
    fence(world)
    assert restore(world) == restore(world)
    assert jobs(world, world.backend.host) == [JobKind.MOVE_DISKS] * 2
    world.settle()
    told = world.operations("vm") + world.operations("alone")
    assert [one["status"] for one in told if one["status"] != "Succeeded"] == []
    assert running(world)


def test_a_move_to_a_host_that_is_lost_too_holds_up_nothing(world: World) -> None:
    begin(world, "third")
    with world.catalog.write() as transaction:
        (instance,) = transaction.instances.all()
        found = transaction.disks.of_instance(instance.id)
        put_in_motion(transaction, found, instance)
        arguments = MoveDisks(
            instance=instance.id, disks=(found[0].id,), snapshots=("",), source=LOST
        )
        transaction.jobs.add(world.job(arguments, "third", instance.id))
    fence(world)
    restore(world)
    world.settle()
    assert disk(world, "data").host == world.backend.host
    assert not running(world), "only what is stopped was moved"
    assert jobs(world, "third") == []


def test_a_disk_comes_back_only_after_what_was_left_of_it_is_removed(world: World) -> None:
    one, mine = disk(world, "alone"), world.backend.host
    first = world.job(CreateDisk(disk="other"), LOST, "left")
    with world.catalog.write() as transaction:
        transaction.jobs.add(first)
        transaction.jobs.add(world.job(DeleteDisk(disk=one.id), mine, "left"))
        transaction.hosts.fence(LOST)
    world.backend.hosts.forget()
    with world.catalog.write() as transaction:
        stored = transaction.snapshots.by_name(REGION, "of-alone")
        assert stored is not None
        arguments = MoveDisks(instance="", disks=(one.id,), snapshots=(stored.id,), source=LOST)
        transaction.jobs.add(world.job(arguments, mine, one.id))
    world.settle(5)
    assert disk(world, "alone").host == LOST
    with world.catalog.write() as transaction:
        transaction.jobs.remove_all(first.id)
    world.settle()
    assert disk(world, "alone").host == mine
    world.write(one.id, 0, b"x" * 4096)


def test_a_fork_that_shared_layers_is_whole_where_it_is_restored(world: World) -> None:
    with world.catalog.write() as transaction:
        one = transaction.disks.by_name(REGION, "alone")
        assert one is not None
        transaction.jobs.add(standing_alone(world.backend, one))
    fence(world)
    assert jobs(world, LOST) == [JobKind.FORK_DISK]
    restore(world)
    world.settle()
    found = disk(world, "alone")
    assert (found.host, found.state) == (world.backend.host, DiskState.AVAILABLE)
    assert jobs(world, LOST) == []
