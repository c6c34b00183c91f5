"""The timetable: when automatic snapshots are taken, to the second, and what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from sqlalchemy import event

from mooring.engine.interface import Freeze
from mooring.jobs.automatic.due import MAX_PENDING
from mooring.jobs.automatic.timetable import BLOCKED_SECONDS, LONGEST_SECONDS, Timetable
from mooring.model.automatic.health import KEPT_FAILURES
from mooring.model.automatic.rhythm import HOUR_MS, SECOND_MS, offset_of, parse_rhythms
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import EngineError
from mooring.model.operation import ResourceType
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from tests.e2e.processes import until
from tests.service.automatic import TAG
from tests.service.world import World

EVERY_SECOND = "every second keep 10 minutes"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def disk(world: World, rhythm: str = EVERY_SECOND, name: str = "data") -> str:
    return world.disk(name, tags=[{"key": TAG, "value": rhythm}])


def taken(world: World, disk_id: str) -> list[DiskSnapshot]:
    with world.catalog.read() as transaction:
        return transaction.snapshots.auto_of_disk(disk_id)


def pass_by(world: World, timetable: Timetable, seconds: float) -> int:
    """Sleep as the thread does, until so much time is over; returns how often it looked."""
    end = world.clock.monotonic() + seconds
    looks = 0
    while world.clock.monotonic() < end:
        pause = timetable.look()
        looks += 1
        world.runner.drain()
        world.clock.advance(pause)
    return looks


@pytest.mark.parametrize("seconds", [1, 2, 7, 10, 90])
def test_each_is_taken_the_moment_it_is_due(world: World, seconds: int) -> None:
    policy = f"every {seconds} seconds keep 1 hour"
    found = [disk(world, policy, f"d{number}") for number in range(3)]
    timetable = Timetable(world.backend)

    looks = pass_by(world, timetable, 5 * seconds)

    (rhythm,) = parse_rhythms(policy)
    for disk_id in found:
        moments = [one.created_ms for one in taken(world, disk_id)]
        assert len(moments) in (4, 5)
        for moment in moments:
            offset = offset_of(disk_id, [rhythm])
            assert moment == rhythm.next_after(moment - 1, offset)
    # It sleeps in between, and never for very long.
    assert looks <= 1 + 5 * min(3, seconds) + 5 * seconds / LONGEST_SECONDS + 1


def test_new_rhythms_and_ended_snapshots_wake_the_thread(world: World) -> None:
    slow = disk(world, "hourly keep 1 day")
    quick = disk(world, EVERY_SECOND, "quick")
    timetable = Timetable(world.backend)
    timetable.start()
    try:
        # Time stands still for the thread, which has nothing to do for some seconds.
        world.clock.advance(1.0)
        world.call("TagResource", resourceName="data", tags=[{"key": TAG, "value": EVERY_SECOND}])
        until(lambda: len(taken(world, quick)) == 1, "what is due to be taken", 5)
        world.clock.advance(1.0)

        def stored_and_taken() -> bool:
            world.runner.drain()
            return (len(taken(world, slow)), len(taken(world, quick))) == (1, 2)

        until(stored_and_taken, "what was due meanwhile to be taken", 5)
    finally:
        timetable.stop()


def test_a_snapshot_that_takes_longer_than_the_rhythm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_id = disk(world)
    freeze = world.engine.freeze

    def slow(points: Mapping[str, str]) -> Freeze:
        world.clock.advance(3.5)
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", slow)
    pass_by(world, Timetable(world.backend), 36)

    # One after the other, without a pause and without a pile; what they stand for is no failure.
    assert 9 <= len(taken(world, disk_id)) <= 11
    with world.catalog.read() as transaction:
        assert transaction.auto_failures.of(disk_id, AutoSource.TAG) == []


def test_a_server_that_was_away_makes_up_for_it_by_one(world: World) -> None:
    disk_id = disk(world)
    timetable = Timetable(world.backend)
    pass_by(world, timetable, 3)
    for restarted in (timetable, Timetable(world.backend)):
        before = [one.created_ms for one in taken(world, disk_id)]
        world.clock.advance(24 * 3600)
        for _ in range(3):
            restarted.look()
            world.runner.drain()
        found = [one.created_ms for one in taken(world, disk_id)]
        assert set(found) - set(before) == {world.clock.now_ms()}
        # What was there when it was away is no older by that.
        assert found[-2] == before[-1]
        with world.catalog.read() as transaction:
            failures = transaction.auto_failures.of(disk_id, AutoSource.TAG)
        assert len(failures) == KEPT_FAILURES
    assert world.operations("data")[0]["operationType"] == "CreateDisk"


@pytest.mark.parametrize("hours", [-30 * 24, -1, 1, 30 * 24])
def test_a_clock_that_jumps(world: World, hours: int) -> None:
    disk_id = disk(world)
    timetable = Timetable(world.backend)
    pass_by(world, timetable, 5)
    before = {one.id for one in taken(world, disk_id)}
    world.clock.milliseconds += hours * HOUR_MS
    pass_by(world, timetable, 10)

    found = [one for one in taken(world, disk_id) if one.is_stored and one.id not in before]
    assert 9 <= len(found) <= 12
    assert max(one.created_ms for one in found) >= world.clock.now_ms() - 2 * SECOND_MS


@pytest.mark.parametrize("broken", ["freeze", "open_point"])
def test_what_fails_for_long_leaves_few_rows(
    world: World, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    disk_id = disk(world)
    timetable = Timetable(world.backend)
    tries: list[int] = []

    def refuse(*_: object) -> None:
        tries.append(world.clock.now_ms())
        raise EngineError("the disk does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, broken, refuse)
        most = 0
        for _ in range(40):
            pass_by(world, timetable, 30)
            most = max(most, len(taken(world, disk_id)))
    # At most one that failed and one that is tried; each tried six times, once a minute.
    assert most <= 2
    assert 20 <= len(tries) <= 20 * 6 + 12
    with world.catalog.read() as transaction:
        assert len(transaction.auto_failures.of(disk_id, AutoSource.TAG)) <= KEPT_FAILURES
        assert len(transaction.jobs.all()) <= 3
    assert len(world.operations("data")) == 1

    pass_by(world, timetable, 120)
    assert {one.state for one in taken(world, disk_id)} <= {
        SnapshotState.COMPLETED,
        SnapshotState.PENDING,
    }
    assert len(taken(world, disk_id)) > 50


def test_more_disks_than_may_be_pending_have_their_turn(world: World) -> None:
    found = [disk(world, EVERY_SECOND, f"d{number}") for number in range(MAX_PENDING + 20)]
    timetable = Timetable(world.backend)
    world.clock.advance(1.0)
    timetable.look()
    with world.catalog.read() as transaction:
        assert transaction.snapshots.pending(world.engines).automatic == MAX_PENDING
    world.runner.drain()
    pass_by(world, timetable, 10)
    counts = [len(taken(world, disk_id)) for disk_id in found]
    assert min(counts) >= 5
    assert max(counts) - min(counts) <= 2


def test_many_disks_at_rest_cost_a_few_statements(world: World) -> None:
    for number in range(200):
        disk(world, "hourly keep 2 weeks", f"d{number}")
    timetable = Timetable(world.backend)
    timetable.look()  # this one also sets the metrics
    statements: list[str] = []
    event.listen(
        world.catalog._engine, "before_cursor_execute", lambda *told: statements.append(told[2])
    )
    pauses = [timetable.look() for _ in range(10)]
    assert len(statements) <= 5 * len(pauses)
    assert min(pauses) > 0


def test_what_cannot_be_taken_is_asked_for_more_and_more_seldom(world: World) -> None:
    disk_id = disk(world)
    with world.catalog.write() as transaction:
        transaction.disks.change(disk_id, state="pending")
    timetable = Timetable(world.backend)
    world.clock.advance(2.0)
    pauses = [timetable.look() for _ in range(8)]
    assert pauses[:3] == [BLOCKED_SECONDS, 2 * BLOCKED_SECONDS, 4 * BLOCKED_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS
    with world.catalog.write() as transaction:
        transaction.disks.change(disk_id, state="available")
    assert timetable.look() <= 1.0
    assert len(taken(world, disk_id)) == 1


def test_disks_that_follow_the_configuration_are_found_when_they_are_made(world: World) -> None:
    told: list[bool] = []
    world.catalog.tell_of_runs(lambda: told.append(True))
    disk_id = world.disk("plain")
    assert told
    timetable = Timetable(world.backend, EVERY_SECOND)
    pass_by(world, timetable, 3)
    assert len(taken(world, disk_id)) in (2, 3)
    with world.catalog.read() as transaction:
        assert transaction.auto_runs.without_rhythms(ResourceType.DISK).found == []
