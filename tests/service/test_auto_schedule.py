"""When automatic snapshots are taken: late, slow, refused, killed, by several servers."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.jobs.automatic import due
from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.jobs.table import PROCEDURES
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.automatic.rules import day
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.service.automatic import MIDNIGHT, TAG, add_on, autos, dates, held_dates, live, world
from tests.service.test_snapshots import content
from tests.service.world import World

__all__ = ["world"]


def test_what_was_missed_is_made_up_by_one(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, DAY_MS)

    # Five days without a server.
    world.clock.advance(5 * 24 * 3600 + 12 * 3600)
    live(world, 5 * MINUTE_MS)

    assert held_dates(world) == ["2026-11-30", "2026-11-24"]
    live(world, DAY_MS)
    assert held_dates(world) == ["2026-12-01", "2026-11-30", "2026-11-24"]


def test_of_several_servers_one_takes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.disk(addOns=[add_on("06:00")])
    world.clock.advance(7 * 3600)
    find = world.catalog.write
    other: list[int] = []

    def write() -> Any:
        # Another server is quicker, between this one's look and its transaction.
        if not other:
            other.append(0)
            other.append(take_due(world.backend))
        return find()

    monkeypatch.setattr(world.catalog, "write", write)
    assert take_due(world.backend) == 0
    assert other == [0, 1]
    monkeypatch.undo()
    world.settle()
    assert dates(world) == ["2026-11-24"]


def test_no_pile_up_when_storing_is_slow(world: World) -> None:
    disk_id = world.disk(tags=[{"key": TAG, "value": "every 15 minutes keep 1 day"}])
    for _ in range(20):
        world.clock.advance(15 * 60)
        take_due(world.backend)
        # Nothing runs: the first one is never stored.
    with world.catalog.read() as transaction:
        assert len(transaction.snapshots.auto_of_disk(disk_id)) == 1
    world.settle()
    # As soon as it is, the next one is taken, one for all that were due.
    assert take_due(world.backend) == 1
    assert take_due(world.backend) == 0
    world.settle()
    assert take_due(world.backend) == 0


def test_only_so_many_are_pending_and_the_longest_due_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "MAX_PENDING", 3)
    names = [f"d{number}" for number in range(8)]
    for name in names:
        world.disk(name, addOns=[add_on("06:00")])
    world.clock.advance(9 * 3600)
    with world.catalog.read() as transaction:
        order = [run.resource_id for run in transaction.auto_runs.due(world.clock.now_ms())]
    rounds = []
    for _ in range(3):
        rounds.append(take_due(world.backend))
        assert take_due(world.backend) == 0
        world.settle()
    assert rounds == [3, 3, 2]
    with world.catalog.read() as transaction:
        taken = [one.disk_id for one in transaction.snapshots.all()]
    assert taken == order


def test_a_disk_that_cannot_be_frozen_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk(addOns=[add_on("06:00")])
    world.clock.advance(7 * 3600)

    def refuse(_points: object) -> None:
        raise EngineError("the storage daemon does not answer")

    monkeypatch.setattr(world.engine, "freeze", refuse)
    assert take_due(world.backend) == 1
    world.settle()
    assert [one["status"] for one in autos(world)] == ["Failed"]
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        assert transaction.snapshots.all() == []
    assert take_due(world.backend) == 0
    monkeypatch.undo()

    live(world, 10 * MINUTE_MS)

    assert [one["status"] for one in autos(world)] == ["Success"]


def test_the_disks_users_are_brought_to_rest_as_its_tags_wish(world: World) -> None:
    world.disk(tags=[{"key": "mooring:quiesce", "value": "require"}], addOns=[add_on("06:00")])
    world.instance()
    world.attach()
    # Nobody knows how to bring them to rest, so none is taken.
    live(world, 8 * HOUR_MS)
    assert held_dates(world) == []

    world.quiescer.commands.add("web")
    live(world, 10 * MINUTE_MS)

    assert [one["status"] for one in autos(world)] == ["Success"]
    with world.catalog.read() as transaction:
        (snapshot,) = transaction.snapshots.all()
    assert snapshot.consistency is Consistency.APPLICATION


def test_a_failed_one_is_shown_also_when_a_later_one_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.disk(addOns=[add_on("06:00")])
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise EngineError("the disk does not answer")

        patch.setattr(world.engine, "open_point", broken)
        live(world, 8 * HOUR_MS)
    assert [one["status"] for one in autos(world)] == ["Failed"]

    live(world, DAY_MS)

    assert [one["status"] for one in autos(world)] == ["Success", "Failed"]
    with world.catalog.read() as transaction:
        assert len(transaction.snapshots.all()) == 1


def test_a_clock_set_back_stops_nothing(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "hourly keep 1 day"}])
    live(world, 3 * HOUR_MS)
    taken = len(autos(world))

    world.clock.milliseconds -= 40 * HOUR_MS
    live(world, 3 * HOUR_MS)

    assert len(autos(world)) >= taken + 2


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


MOMENTS = [
    (kind, step.name, moment)
    for kind in (JobKind.FREEZE, JobKind.UPLOAD_SNAPSHOT)
    for step in PROCEDURES[kind].steps
    for moment in ("begin", "done", "recorded")
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_taken_once(moment: tuple[JobKind, str, str]) -> None:
    at = [moment]

    def observe(job: Job, step: str, now: str) -> None:
        if (job.kind, step, now) in at:
            at.clear()
            raise Killed

    world = World(observe)
    world.clock.milliseconds = MIDNIGHT
    disk_id = world.disk(addOns=[add_on("06:00")])
    data = content(1)
    world.write(disk_id, 0, data)
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    with pytest.raises(Killed):
        world.settle()
    assert at == []

    recover(world.backend)
    recover(world.backend)
    assert take_due(world.backend) == 0
    world.settle()

    assert [(one["date"], one["status"]) for one in autos(world)] == [
        (day(world.clock.now_ms()), "Success")
    ]
    with world.catalog.read() as transaction:
        (snapshot,) = transaction.snapshots.auto_of_disk(disk_id)
        assert transaction.jobs.all() == []
    with world.vault.open(snapshot.id) as reader:
        assert reader.read(0, BLOCK_SIZE) == data
        assert reader.root.info.extra["auto"] == "add-on"
    world.close()
