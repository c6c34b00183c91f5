"""What was under way at a host when it is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mooring.catalog.tables.jobs import Jobs
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.live.fork_disk import standing_alone
from mooring.model.resources.disk import DiskState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CreateDisk, DeleteDisk, MoveDisks
from mooring.model.resources.job_kind import JobKind
from tests.service.lost_host import LOST, begin, disk, fence, jobs, moment, restore, world
from tests.service.world import REGION, ZONE, World

__all__ = ["moment", "world"]

pytestmark = pytest.mark.full

SECONDS = 30


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
