"""A region that the settings do not name any more while jobs need its vault."""

from __future__ import annotations

import pytest

from mooring.jobs.recover import recover
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.service.test_copies import FAR, copy, held
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World


def test_a_copy_waits_for_the_region_that_it_comes_from() -> None:
    world, data = World(), content(1)
    world.write(world.disk(), 0, data)
    world.snapshot("first")
    world.settle()
    copy(world, "first", "far")
    vaults = world.backend.vaults
    object.__setattr__(world.backend, "vaults", {FAR: vaults[FAR]})
    for _ in range(10):
        world.runner.drain()
        world.clock.advance(60)
    with world.catalog.read() as transaction:
        (job,) = transaction.jobs.of_kind(JobKind.COPY_SNAPSHOT)
    assert job.error_details == f"the region {REGION} is not in the settings"

    object.__setattr__(world.backend, "vaults", vaults)
    world.settle(120)
    assert held(world, "far", len(data)) == data
    world.close()


class Stopped(BaseException):
    """Ends the job's thread as a kill would end the server."""


def test_a_server_starts_whose_region_is_called_otherwise_now() -> None:
    def stop(job: Job, _step: str, _moment: str) -> None:
        if job.kind is JobKind.FILL_DISK:
            raise Stopped

    world, data = World(stop), content(1)
    world.write(world.disk(), 0, data)
    world.snapshot("first")
    world.settle()
    world.call(
        "CreateDiskFromSnapshot",
        diskName="again",
        diskSnapshotName="first",
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    with pytest.raises(Stopped):
        world.runner.drain()
    vaults = world.backend.vaults
    # The zone is in the settings as before, and so is the disk's engine.
    object.__setattr__(world.backend, "vaults", {"home": vaults[REGION]})
    recover(world.backend)

    object.__setattr__(world.backend, "vaults", vaults)
    world.restart(world.catalog)
    world.settle()
    assert world.read(world.disk_id("again"), 0, len(data)) == data
    world.close()
