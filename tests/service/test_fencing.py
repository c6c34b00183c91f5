"""Fencing and restoring a lost host, where others reach its layers and where none does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.backend.hosts import HostBook
from mooring.catalog.database import Catalog
from mooring.engine.qemu.daemon import process
from mooring.engine.strays import strays
from mooring.host.room import Room
from mooring.jobs.automatic.due import take_due
from mooring.jobs.fill_disk import fill_job
from mooring.jobs.watching.hosts import HostWatch
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import HostElsewhereException, OperationFailureException
from mooring.model.resources.host import Host
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.server import Server
from tests.catalog.postgresql import PostgreSQL
from tests.e2e.processes import until
from tests.service.automatic import autos
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """A server that reaches no layers of others, with a disk that is on the host `lost`."""
    world = World(catalog=Catalog(postgresql.url()))
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


def test_a_host_that_dropped_a_shared_zone_is_yet_shut_out_of_it(world: World) -> None:
    add_host(world, "lost", shares=True)
    add_host(world, "other", shares=True)
    lost = replace(world.backend, this_server=Server(id="lost"))
    room = Room(Path("/"), 1, 1)

    HostWatch(lost, Host(id="lost", name="lost"), lambda: room, list).begin()

    with world.catalog.read() as transaction:
        seen = transaction.hosts.by_name("lost", 0)
    assert seen is not None
    assert (list(seen.host.zones), list(seen.host.shared_zones)) == ([], [ZONE])
    with pytest.raises(HostElsewhereException) as caught:
        world.act("fence", hostName="lost", force=True)
    assert (caught.value.host, caught.value.zone) == ("other", ZONE)
    with world.catalog.write() as transaction:
        transaction.hosts.fence("lost")
    (told,) = world.act("restore-host", hostName="lost", targetName="other")["restored"]
    assert told["asItWas"]


def test_daemons_of_a_dropped_zone_end_when_their_instances_are_elsewhere(
    world: World, run_dir: Path
) -> None:
    me = world.backend.host
    room, dropped = Room(Path("/"), 1, 1), "us-east-2z"
    world.instance("stays")
    world.instance("goes")
    world.settle()
    with world.catalog.write() as transaction:
        ids = {one.name: one.id for one in transaction.instances.all()}
        transaction.instances.change(ids["goes"], host="other")
    folders = {name: run_dir / dropped / ids[name] for name in ids}
    served = run_dir / ZONE / ids["goes"]
    everywhere = [*folders.values(), served]
    for folder in everywhere:
        process.spawn("qemu-storage-daemon", folder, [])
    until(lambda: all(map(process.find, everywhere)), "the daemons run")
    host = Host(id=me, name=me, zones=[ZONE])
    watch = HostWatch(
        world.backend, host, lambda: room, lambda: strays(run_dir, world.backend.engines)
    )
    try:
        watch.begin()
        watch.look()
        assert all(process.find(folder) for folder in everywhere), "nobody was fenced"
        with world.catalog.write() as transaction:
            transaction.hosts.fence(me)

        watch.look()

        assert process.find(folders["goes"]) is None
        assert process.find(folders["stays"]) is not None
        assert process.find(served) is not None, "its engine is asked, which knows of no disk"
    finally:
        for folder in everywhere:
            if (daemon := process.find(folder)) is not None:
                with daemon:
                    daemon.kill()


def filling_of(world: World, name: str, host: str) -> Job:
    """The disk is on that host, and is being filled there."""
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, name)
        assert disk is not None
        transaction.disks.change(disk.id, host=host)
        job = fill_job(world.backend, replace(disk, host=host), "origin")
        transaction.jobs.add(job)
    return job


def jobs_of(world: World, server: str) -> list[tuple[JobKind, str]]:
    with world.catalog.read() as transaction:
        return [(one.kind, one.arguments.at) for one in transaction.jobs.of_server(server)]


@pytest.mark.parametrize("shares", [False, True], ids=["folders", "shared"])
def test_what_a_disk_reads_from_stays_until_somebody_has_filled_it(
    world: World, *, shares: bool
) -> None:
    add_host(world, "lost", shares=shares)
    object.__setattr__(world.backend, "hosts", HostBook(world.catalog, world.clock))
    job = filling_of(world, "data", "lost")
    disk_id = job.arguments.at

    world.act("fence", hostName="lost", force=True)

    assert jobs_of(world, "lost") == [(JobKind.FILL_DISK, disk_id)]
    with world.catalog.read() as transaction:
        assert transaction.jobs.is_read("origin"), "the snapshot may not be deleted below it"
    world.call("DeleteDisk", diskName="data")
    with world.catalog.read() as transaction:
        # Where others reach the disk, one of them finds that.
        assert transaction.jobs.is_read("origin") == shares, "nobody needs it any more"
    there, anywhere = ("", "lost") if shares else ("lost", "")
    assert (JobKind.DELETE_DISK, disk_id) in jobs_of(world, there)
    assert (JobKind.DELETE_DISK, disk_id) not in jobs_of(world, anywhere)


def test_a_move_into_a_cluster_that_one_host_alone_reaches_is_refused(world: World) -> None:
    mine = world.backend.host
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, "data")
        assert disk is not None
        transaction.disks.change(disk.id, host=mine)
    add_host(world, mine)
    add_host(world, "other", shares=True)
    with pytest.raises(OperationFailureException, match="give both hosts the same settings"):
        world.act("move-disk", diskName="data", hostName="other")
    assert jobs_of(world, "other") == []


def test_an_automatic_snapshot_that_was_not_frozen_is_kept_as_failed(
    postgresql: PostgreSQL,
) -> None:
    world = World(catalog=Catalog(postgresql.url()))
    mine = world.backend.host
    add_host(world, mine)
    add_host(world, "other")
    disk_id = world.disk(tags=[{"key": "mooring:snapshots", "value": "hourly keep 1 day"}])
    world.settle()
    world.clock.advance(2 * 3600)
    assert take_due(world.backend) == 1  # recorded, and then the host is lost

    world.act("fence", hostName=mine, force=True)

    with world.catalog.read() as transaction:
        assert transaction.snapshots.auto_of_disk(disk_id) == []
        assert transaction.jobs.of_server(mine) == []
        failure = transaction.auto_failures.of(disk_id, AutoSource.TAG)[-1]
    assert failure.reason == f"the host {mine} was fenced"
    assert autos(world)[0]["status"] == "Failed"
    world.close()
