"""Restores while the lost host comes back, or others move the same disks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mooring.backend.hosts import HostBook
from mooring.catalog.tables.jobs import Jobs
from mooring.host.room import Room
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.live.fork_disk import standing_alone
from mooring.jobs.watching.hosts import HostWatch
from mooring.model.errors import (
    ConfigurationError,
    HostElsewhereException,
    InvalidInputException,
)
from mooring.model.resources.disk import Disk, DiskState
from mooring.model.resources.host import Host, SeenHost
from mooring.model.resources.instance import InstanceState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CreateDisk, DeleteDisk, MoveDisks
from mooring.model.resources.job_kind import JobKind
from mooring.taking.moving import put_in_motion
from tests.catalog.postgresql import PostgreSQL
from tests.service.test_twice_at_once import LingeringCatalog
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full

LOST = "lost"
SECONDS = 30


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


def test_a_request_that_was_under_way_ends_with_the_fence(world: World) -> None:
    """Its transaction ends after that of the fence, which saw nothing of its job."""
    under_way, fenced = threading.Event(), threading.Event()
    job = world.job(CreateDisk(disk="late"), LOST)

    def ask() -> None:
        with world.catalog.write() as transaction:
            transaction.jobs.add(job)
            under_way.set()
            assert fenced.wait(SECONDS)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        assert under_way.wait(SECONDS)
        fence(world)
        fenced.set()
        asked.result(SECONDS)
    assert jobs(world, LOST) == [JobKind.CREATE_DISK]

    restore(world)
    assert jobs(world, LOST) == []


def test_a_host_that_works_on_is_fenced_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes one job, and ends another, just when it is looked what jobs it has."""
    arguments = [CreateDisk(disk="first"), CreateDisk(disk="second"), DeleteDisk(disk="gone")]
    added = [world.job(one, LOST, one.disk) for one in arguments]
    with world.catalog.write() as transaction:
        for job in added:
            transaction.jobs.add(job)
    look = Jobs.of_server

    def works_on(rows: Jobs, server: str) -> list[Job]:
        found = look(rows, server)
        monkeypatch.undo()
        with world.catalog.write() as transaction:
            taken = [transaction.jobs.take(LOST, list(JobKind), 0, 1000, ()) for _ in added]
            assert taken[1] is not None
            transaction.jobs.remove(taken[1])
        held.extend(one for one in taken if one is not None)
        return found

    held: list[Job] = []
    monkeypatch.setattr(Jobs, "of_server", works_on)
    assert world.act("fence", hostName=LOST, force=True)["jobsEnded"] == 1

    with world.catalog.read() as transaction:
        (left,) = transaction.jobs.of_server(LOST)
    assert left.kind is JobKind.DELETE_DISK
    assert left.generation > held[2].generation, "whoever holds it has it no more"


def test_what_is_removed_at_a_host_that_is_away_holds_up_nothing(world: World) -> None:
    """A disk was moved here, and the host that it comes from ends before it has cleaned up."""
    with world.catalog.write() as transaction:
        one = transaction.disks.by_name(REGION, "alone")
        stored = transaction.snapshots.by_name(REGION, "of-alone")
        assert one is not None
        assert stored is not None
        transaction.jobs.add(fill_job(world.backend, one, stored.id))
        arguments = MoveDisks(instance="", disks=(one.id,), snapshots=(stored.id,), source=LOST)
        transaction.jobs.add(world.job(arguments, world.backend.host))
    world.settle()
    assert disk(world, "alone").host == world.backend.host
    assert jobs(world, LOST) == [JobKind.DELETE_DISK]
    assert jobs(world, world.backend.host) == [], "it is filled"

    world.snapshot("next", "alone")
    world.settle()
    assert world.state("next")["state"] == "completed"
    fence(world)
    world.snapshot("last", "alone")
    world.settle()
    assert world.state("last")["state"] == "completed"


def test_what_an_earlier_program_left_in_the_line_of_a_disk_goes_out_of_it(world: World) -> None:
    one = disk(world, "alone")
    with world.catalog.write() as transaction:
        transaction.disks.change(one.id, host=world.backend.host)
        transaction.jobs.add(world.job(DeleteDisk(disk=one.id), LOST, one.id))
    world.snapshot("next", "alone")
    world.settle()
    assert world.state("next")["state"] == "pending"
    fence(world)
    world.settle()
    assert world.state("next")["state"] == "completed"
    assert jobs(world, LOST) == [JobKind.DELETE_DISK], "should it ever come back"


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


def test_what_a_disk_needed_where_it_was_before_ends_with_that_host(world: World) -> None:
    """It was moved in order, and the host was lost before it has noticed."""
    with world.catalog.write() as transaction:
        one = transaction.disks.by_name(REGION, "alone")
        assert one is not None
        transaction.jobs.add(standing_alone(world.backend, one))
        transaction.disks.change(one.id, host=world.backend.host)
    fence(world)
    assert jobs(world, LOST) == []
    assert disk(world, "alone").state is DiskState.AVAILABLE


def test_an_instance_that_was_being_made_is_gone(world: World) -> None:
    """As where it could not be made otherwise: it was pending for ever."""
    mine = world.backend.host
    with world.catalog.write() as transaction:
        for one in transaction.disks.all():
            transaction.disks.change(one.id, host=mine)
        for instance in transaction.instances.all():
            transaction.instances.change(instance.id, host=mine)
    world.instance_snapshot("whole", "vm")
    world.settle()
    begin(world, LOST)
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["more"],
        instanceSnapshotName="whole",
        availabilityZone=ZONE,
        bundleId="external",
        tags=[{"key": "mooring:host", "value": LOST}],
    )
    assert jobs(world, LOST) == [JobKind.RESTORE_INSTANCE]

    fence(world)

    assert [one["name"] for one in world.call("GetInstances")["instances"]] == ["vm"]
    assert [one["name"] for one in world.call("GetDisks")["disks"]] == ["data", "alone"]
    assert [one["status"] for one in world.operations("more")] == ["Failed"]
    assert jobs(world, LOST) == [JobKind.DELETE_DISK], "should it come back"


def test_an_export_that_was_being_written_has_failed(world: World) -> None:
    world.call("ExportSnapshot", sourceSnapshotName="of-data")
    world.act("fence", hostName=world.backend.host, force=True)
    (record,) = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    assert record["state"] == "Failed"


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
