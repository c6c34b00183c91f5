"""Automatic snapshots of instances, whose disks come and go, and whose server is killed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.jobs.table import PROCEDURES
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.automatic.rules import day
from mooring.model.errors import EngineError, NotFoundException
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.service.automatic import TAG, autos, held_dates, live
from tests.service.test_auto_instances import (
    LATEST,
    PATHS,
    PLACE,
    disks_of,
    enable,
    is_clean,
    new_world,
    read,
    taken,
    world,
)
from tests.service.test_auto_schedule import Killed
from tests.service.world import World

__all__ = ["world"]


# --- the disks of the instance


def test_beside_those_of_a_disk_at_the_same_hour(world: World) -> None:
    enable(world)
    enable(world, name="data")
    # Nothing has run for days: both are due at once, and neither waits for the other.
    world.clock.advance(3 * 86400)
    assert take_due(world.backend) == 2
    world.settle()
    live(world, 7 * HOUR_MS)

    assert held_dates(world, "web") == held_dates(world, "data") == ["2026-11-27"]
    assert disks_of(world) == [["data", "logs"]]
    # What did not change in between is not stored again.
    with world.catalog.read() as transaction:
        stored = sorted(
            one.changed_bytes or 0 for one in transaction.snapshots.all() if one.disk_name == "data"
        )
    assert stored == [0, BLOCK_SIZE]
    is_clean(world)


def test_disks_that_were_detached_attached_and_deleted(world: World) -> None:
    wanted = read(world, "logs")
    world.call("TagResource", resourceName="web", tags=[{"key": TAG, "value": "daily keep 1 year"}])
    live(world, DAY_MS)
    world.call("DetachDisk", diskName="logs")
    world.settle()
    live(world, DAY_MS)
    world.call("DeleteDisk", diskName="logs")
    world.disk("more")
    world.attach("more", "web", "/dev/xvdh")
    live(world, DAY_MS)

    assert disks_of(world)[-3:] == [["data", "logs"], ["data"], ["data", "more"]]
    # The disk is gone, what was taken of it is not.
    first = autos(world, "web")[-1]
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["old"],
        sourceInstanceName="web",
        restoreDate=first["date"],
        **PLACE,
    )
    world.settle()
    assert read(world, "old-logs") == wanted


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("change", ["detach", "attach"])
def test_other_disks_between_the_run_and_the_freeze(
    world: World, change: str, settled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk("more")
    enable(world)
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    if change == "detach":
        world.call("DetachDisk", diskName="logs")
    else:
        world.call("AttachDisk", diskName="more", instanceName="web", diskPath="/dev/xvdh")
    if settled:  # before the freeze, which is next in line
        with world.catalog.read() as transaction:
            jobs = transaction.jobs.all()
        order = [job for job in jobs if job.kind in (JobKind.ATTACH_DISK, JobKind.DETACH_DISK)]
        run_first(world, order[0], monkeypatch)
    world.settle(5)
    # Nothing that holds some of the disks is left.
    assert disks_of(world) == []
    is_clean(world)

    live(world, 10 * MINUTE_MS)

    wanted = ["data"] if change == "detach" else ["data", "logs", "more"]
    assert disks_of(world) == [wanted]
    assert [one["status"] for one in autos(world, "web")] == ["Success"]


def run_first(world: World, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one job run before those that are before it in line."""
    with world.catalog.write() as transaction:
        others = [one for one in transaction.jobs.all() if one.id != job.id]
        for one in others:
            transaction.jobs.remove(one)
    world.runner.drain()
    with world.catalog.write() as transaction:
        for one in others:
            transaction.jobs.add(one)


def test_it_waits_while_disks_come_and_go(world: World) -> None:
    world.disk("more")
    enable(world)
    world.clock.advance(7 * 3600)
    world.call("AttachDisk", diskName="more", instanceName="web", diskPath="/dev/xvdh")
    assert take_due(world.backend) == 0
    world.settle()
    world.call("StopInstance", instanceName="web")
    assert take_due(world.backend) == 0
    world.settle()

    assert take_due(world.backend) == 1
    world.settle()

    assert disks_of(world) == [["data", "logs", "more"]]


def test_an_instance_without_disks(world: World) -> None:
    world.instance("bare")
    tags = [{"key": TAG, "value": "daily keep 3 days"}]
    world.call("TagResource", resourceName="bare", tags=tags)
    enable(world, name="bare")

    # Both are due at once; of one moment there is one.
    world.clock.advance(3 * 86400)
    assert take_due(world.backend) == 1
    live(world, 9 * DAY_MS)

    found = autos(world, "bare")
    assert {one["status"] for one in found} == {"Success"}
    assert len([one for one in found if "T" not in one["date"]]) == 7
    assert len([one for one in found if "T" in one["date"]]) in (3, 4)
    assert list(world.vault.snapshot_ids()) == []
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["new"],
        sourceInstanceName="bare",
        **PLACE,
        **LATEST,
    )
    world.settle()
    assert world.call("GetInstanceState", instanceName="new")["state"]["name"] == "running"


# --- the schedule


def test_what_was_missed_is_made_up_by_one(world: World) -> None:
    enable(world)
    live(world, DAY_MS)

    world.clock.advance(5 * 24 * 3600 + 12 * 3600)
    live(world, 5 * MINUTE_MS)

    assert held_dates(world, "web") == ["2026-11-30", "2026-11-24"]


def test_no_pile_up_when_storing_is_slow(world: World) -> None:
    tags = [{"key": TAG, "value": "every 15 minutes keep 1 day"}]
    for name in ("web", *PATHS):
        world.call("TagResource", resourceName=name, tags=tags)
    for _ in range(20):
        world.clock.advance(15 * 60)
        take_due(world.backend)
    with world.catalog.read() as transaction:
        # One of the instance, with its two parts, and one of each disk.
        assert len(transaction.snapshots.all()) == 4
    world.settle()
    assert take_due(world.backend) == 3
    world.settle()
    is_clean(world)


def test_an_instance_that_cannot_be_frozen_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(world)
    world.clock.advance(7 * 3600)

    def refuse(_points: object) -> None:
        raise EngineError("the storage daemon does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "freeze", refuse)
        assert take_due(world.backend) == 1
        world.settle()
    assert held_dates(world, "web") == []
    is_clean(world)

    live(world, 10 * MINUTE_MS)

    assert [one["status"] for one in autos(world, "web")] == ["Success"]


def test_one_part_that_fails_is_a_failure_of_that_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(world)
    logs, open_point = world.disk_id("logs"), world.engine.open_point
    with monkeypatch.context() as patch:

        def broken(disk_id: str, point: str) -> object:
            if disk_id == logs:
                raise EngineError("the disk does not answer")
            return open_point(disk_id, point)

        patch.setattr(world.engine, "open_point", broken)
        live(world, 8 * HOUR_MS)
    assert [one["status"] for one in autos(world, "web")] == ["Failed"]
    with pytest.raises(NotFoundException, match="automatic snapshot does not exist: web"):
        world.call(
            "CreateInstancesFromSnapshot",
            instanceNames=["new"],
            sourceInstanceName="web",
            **PLACE,
            **LATEST,
        )

    live(world, DAY_MS)

    assert [one["status"] for one in autos(world, "web")] == ["Success", "Failed"]
    assert len(list(world.vault.snapshot_ids())) == 2
    is_clean(world)


def test_the_disks_users_are_brought_to_rest_together(world: World) -> None:
    tags = [{"key": "mooring:quiesce", "value": "require"}]
    world.call("TagResource", resourceName="logs", tags=tags)
    enable(world)
    live(world, 8 * HOUR_MS)
    assert held_dates(world, "web") == []
    is_clean(world)

    world.quiescer.commands.add("web")
    live(world, 10 * MINUTE_MS)

    (whole,) = taken(world)
    assert whole.consistency is Consistency.APPLICATION


# --- killed

MOMENTS = [
    (kind, step.name, moment, nth)
    for kind, times in ((JobKind.FREEZE, 1), (JobKind.UPLOAD_SNAPSHOT, 2))
    for step in PROCEDURES[kind].steps
    for moment in ("begin", "done", "recorded")
    for nth in range(times)
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_taken_once(moment: tuple[JobKind, str, str, int]) -> None:
    kind, step_name, when, nth = moment
    seen: list[str] = []

    def observe(job: Job, step: str, now: str) -> None:
        if (job.kind, step, now) == (kind, step_name, when):
            seen.append(job.id)
            if len(seen) == nth + 1:
                raise Killed

    world = new_world(World(observe))
    wanted = {name: read(world, name) for name in PATHS}
    enable(world)
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    recover(world.backend)
    assert take_due(world.backend) == 0
    world.settle()

    assert [(one["date"], one["status"]) for one in autos(world, "web")] == [
        (day(world.clock.now_ms()), "Success")
    ]
    (whole,) = taken(world)
    for part in whole.parts:
        with world.vault.open(part.id) as reader:
            assert reader.read(0, BLOCK_SIZE) == wanted[part.disk_name]
    is_clean(world)
    world.close()


def test_killed_while_only_some_disks_were_frozen(world: World) -> None:
    enable(world)
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    (whole,) = taken(world)
    one = whole.parts[0]
    world.engine.freeze({one.disk_id: one.id})
    recover(world.backend)
    world.settle()
    # The instant is lost.
    assert taken(world) == []

    live(world, 10 * MINUTE_MS)

    assert disks_of(world) == [["data", "logs"]]
    assert datetime.fromtimestamp(autos(world, "web")[0]["createdAt"] / 1000, UTC).hour == 7
    is_clean(world)
