"""What a lost host leaves, where several hosts reach the same layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mooring.backend.hosts import HostBook
from mooring.backend.sources import source_of
from mooring.catalog.database import Catalog
from mooring.engine.interface import FrozenImage, Past, Source
from mooring.engine.memory import MemoryEngine
from mooring.host.room import Room
from mooring.jobs.watching.hosts import HostWatch
from mooring.model.errors import ClusterAwayError, FencedError
from mooring.model.extents import GIB
from mooring.model.resources.host import Host, HostState
from mooring.model.resources.job_arguments import RevertDisk
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from tests.catalog.postgresql import PostgreSQL
from tests.service.test_fencing import add_host, jobs_of
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


class SharedEngine(MemoryEngine):
    """Disks that other hosts reach, too; what holds them may be away."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.fenced: list[str] = []
        self.shut_out: set[str] = set()
        self.read_anew: list[str] = []
        self.problem_now: Exception | None = None

    def fence(self, host: str) -> Sequence[str]:
        self.fenced.append(host)
        self.shut_out.add(host)
        return []

    def is_shut_out(self, host: str) -> bool:
        return host in self.shut_out

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        self.read_anew.append(source.snapshot_id)
        super().begin_clone(disk_id, size, source)

    def delete(self, disk_id: str) -> None:
        self._ask()
        super().delete(disk_id)

    def open_point(self, disk_id: str, point_id: str) -> FrozenImage:
        self._ask()
        return super().open_point(disk_id, point_id)

    def past(self, disk_id: str) -> Past | None:
        self._ask()
        return super().past(disk_id)

    def points(self, disk_id: str) -> Sequence[str]:
        self._ask()
        return super().points(disk_id)

    def _ask(self) -> None:
        if self.problem_now is not None:
            raise self.problem_now


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """A host whose disks other hosts reach, too, with a disk."""
    world = World(catalog=Catalog(postgresql.url()))
    world.engines[ZONE] = SharedEngine()
    object.__setattr__(world.backend, "hosts", HostBook(world.catalog, world.clock))
    add_host(world, world.backend.host, shares=True)
    world.disk("data")
    yield world
    world.close()


def engine_of(world: World) -> SharedEngine:
    engine = world.engine
    assert isinstance(engine, SharedEngine)
    return engine


def lose_disk(world: World) -> None:
    """Let the disk be on the host `lost`, which is fenced, and be asked for here."""
    add_host(world, "lost", shares=True)
    with world.catalog.write() as transaction:
        transaction.disks.change(world.disk_id("data"), host="lost")
    world.act("fence", hostName="lost", force=True)
    told = world.act("restore-host", hostName="lost", targetName=world.backend.host)
    assert told["left"] == []


def host_of(world: World, name: str = "data") -> str:
    with world.catalog.read() as transaction:
        disk = transaction.disks.by_name(REGION, name)
    assert disk is not None
    return disk.host


def test_a_host_that_has_come_back_meanwhile_is_not_fenced_once_more(world: World) -> None:
    lose_disk(world)
    add_host(world, "lost", shares=True)  # its server was started again
    engine = engine_of(world)
    engine.shut_out.clear()

    world.settle()

    assert engine.fenced == ["lost"], "only when it was asked for"
    (operation,) = world.operations("data")[:1]
    assert operation["status"] == "Failed"
    assert "the host lost is back" in operation["errorDetails"]
    assert host_of(world) == "lost"
    assert world.call("GetDisk", diskName="data")["disk"]["state"] == "available"


def test_what_was_asked_for_goes_on_while_the_host_is_shut_out(world: World) -> None:
    """It woke up, and says in the catalog that it lives; of its disks nothing arrives."""
    lose_disk(world)
    add_host(world, "lost", shares=True)

    world.settle()

    assert engine_of(world).fenced == ["lost"]
    assert host_of(world) == world.backend.host


def test_a_snapshot_that_the_host_has_yet_to_store_holds_up_nothing(world: World) -> None:
    world.snapshot("pending")
    with world.catalog.write() as transaction:
        for job in transaction.jobs.all():
            transaction.jobs.give(job, "lost")
    lose_disk(world)

    world.settle()

    assert host_of(world) == world.backend.host
    assert world.state("pending")["state"] == "completed"


def test_an_instance_that_was_being_restored_is_gone(world: World) -> None:
    world.instance("web")
    world.attach("data", "web")
    world.settle()
    world.instance_snapshot("whole")
    world.settle()
    add_host(world, "lost", shares=True)
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["again"],
        instanceSnapshotName="whole",
        availabilityZone=ZONE,
        bundleId="external",
        attachedDiskMapping={
            "again": [{"originalDiskPath": "/dev/xvdf", "newDiskName": "data-again"}]
        },
        tags=[{"key": "mooring:host", "value": "lost"}],
    )
    disk_id = world.disk_id("data-again")
    (begun,) = world.operations("again")[:1]

    world.act("fence", hostName="lost", force=True)

    ended = world.call("GetOperation", operationId=begun["id"])["operation"]
    assert (ended["status"], ended["errorCode"]) == ("Failed", "HostFenced")
    with world.catalog.read() as transaction:
        assert transaction.instances.by_name(REGION, "again") is None
        assert transaction.disks.by_id(disk_id) is None
    assert (JobKind.DELETE_DISK, disk_id) in jobs_of(world, ""), "what was made of it"
    world.settle()
    assert jobs_of(world, "") == []


@pytest.mark.parametrize("error", [ClusterAwayError("away"), FencedError("fenced")])
def test_what_cannot_be_done_now_is_done_later(world: World, error: Exception) -> None:
    """However long that takes: nobody else would remove the layers, or store the snapshot."""
    engine = engine_of(world)
    doomed = world.disk("doomed")
    world.snapshot("first")
    world.call("DeleteDisk", diskName="doomed")
    engine.problem_now = error

    world.settle(300)

    assert world.state("first")["state"] == "pending"
    assert doomed in engine.disks()
    engine.problem_now = None
    world.settle()
    assert world.state("first")["state"] == "completed"
    assert doomed not in engine.disks()


def test_a_past_that_cannot_be_asked_for_is_not_gone(world: World) -> None:
    """What it reads from would be deleted below it."""
    disk_id = world.disk_id("data")
    arguments = RevertDisk(disk=disk_id, snapshot="to", point="at", kept=False, former="from")
    job = world.job(arguments, world.backend.host)
    with world.catalog.write() as transaction:
        transaction.jobs.add(job)
    engine_of(world).problem_now = ClusterAwayError("away")

    world.settle(10)

    with world.catalog.read() as transaction:
        assert transaction.jobs.is_read("from")
    engine_of(world).problem_now = None
    world.settle()
    with world.catalog.read() as transaction:
        assert not transaction.jobs.is_read("from")


def test_a_host_that_is_shut_out_stays_fenced_until_it_is_started_again(world: World) -> None:
    mine, room = world.backend.host, Room(Path("/"), 1, 1)
    host = Host(id=mine, name=mine, zones=[ZONE], shared_zones=[ZONE])

    def state() -> HostState:
        with world.catalog.read() as transaction:
            seen = transaction.hosts.by_name(mine, world.clock.now_ms())
        assert seen is not None
        return seen.state

    watch = HostWatch(world.backend, host, lambda: room, list)
    watch.begin()
    with world.catalog.write() as transaction:
        transaction.hosts.fence(mine)
    engine_of(world).shut_out.add(mine)

    watch.look()
    watch.look()

    assert state() is HostState.FENCED
    engine_of(world).shut_out.clear()  # as the start of its engine does
    HostWatch(world.backend, host, lambda: room, list).begin()
    assert state() is HostState.UP


def test_what_a_disk_held_before_is_read_here_as_well(world: World) -> None:
    """It was reverted while it was being filled, and is not stored yet."""
    add_host(world, "lost", shares=True)
    world.snapshot("to")
    world.snapshot("from")
    world.settle()
    with world.catalog.read() as transaction:
        stored = transaction.snapshots.of_disk(world.disk_id("data"), SnapshotState.COMPLETED)
    ids = {one.name: one.id for one in stored}
    disk_id = world.disk_id("data")
    reverted = RevertDisk(
        disk=disk_id, snapshot=ids["to"], point="at", kept=True, former=ids["from"]
    )
    job = world.job(reverted, "lost")
    with world.catalog.write() as transaction:
        transaction.jobs.add(job)

    lose_disk(world)
    world.settle()

    assert set(engine_of(world).read_anew) == set(ids.values())


def test_a_revert_that_was_not_recorded_is_filled_here(world: World) -> None:
    """Nobody would know that the disk reads the snapshot, which could be deleted."""
    world.snapshot("to")
    world.settle()
    with world.catalog.read() as transaction:
        disk_id = world.disk_id("data")
        (to,) = transaction.snapshots.of_disk(disk_id, SnapshotState.COMPLETED)
    engine = engine_of(world)
    engine.delete(disk_id)
    engine.begin_clone(disk_id, 8 * GIB, source_of(world.backend, REGION, to.id))
    lose_disk(world)

    world.settle()

    assert host_of(world) == world.backend.host
    assert engine.filling(disk_id) is None
    with world.catalog.read() as transaction:
        disk = transaction.disks.by_id(disk_id)
    assert disk is not None
    assert disk.origin_id == to.id
