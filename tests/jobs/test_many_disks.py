"""Timers that walk through many disks a part at a time leave none out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.engine.zones import Engines
from mooring.jobs.automatic import due, following, outcomes
from mooring.jobs.automatic.due import take_due
from mooring.jobs.automatic.following import Followers
from mooring.jobs.keep_catalog import Describer
from mooring.model.automatic.rhythm import HOUR_MS
from mooring.model.operation import ResourceType
from mooring.model.resources.snapshot import SnapshotState
from mooring.observe import metrics
from tests.service.automatic import TAG
from tests.service.world import REGION, ZONE, World

HOURLY = "hourly keep 1 day"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def without(world: World) -> list[str]:
    """The ids of the disks that follow nothing."""
    with world.catalog.read() as transaction:
        return [one for one, _ in transaction.auto_runs.without_rhythms(ResourceType.DISK).found]


def hourly(world: World, count: int) -> list[str]:
    tags = [{"key": TAG, "value": HOURLY}]
    return [world.disk(f"d{number}", tags=tags) for number in range(count)]


def test_all_follow_the_configuration_in_their_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOKED_AT", 3)
    monkeypatch.setattr(following, "AT_ONCE", 2)
    for number in range(7):
        world.disk(f"d{number}")
    followers = Followers(world.backend, ResourceType.DISK, HOURLY)
    looks = 1
    while followers.look():
        looks += 1
    assert (looks, without(world)) == (3, [])

    # One that is new follows at once, wherever the walk is.
    for _ in range(4):
        followers.look()
        world.disk(f"e{_}")
        assert len(without(world)) == 1
        followers.look()
        assert without(world) == []


def test_one_that_lost_its_tag_follows_in_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOKED_AT", 3)
    hourly(world, 7)
    followers = Followers(world.backend, ResourceType.DISK, "daily keep 1 week")
    followers.look()
    world.call("UntagResource", resourceName="d1", tagKeys=[TAG])
    assert without(world) == [world.disk_id("d1")]
    for _ in range(3):
        followers.look()
    assert without(world) == []


def test_those_that_wait_keep_nobody_from_what_is_due_after_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "READ_AT_ONCE", 2)
    ids = hourly(world, 7)
    world.clock.advance(2 * 3600)
    with world.catalog.write() as transaction:
        order = [run.resource_id for run in transaction.auto_runs.due(world.clock.now_ms())]
        assert sorted(order) == sorted(ids)
        for one in order[:5]:
            transaction.disks.change(one, state="pending")
    assert take_due(world.backend) == 2
    with world.catalog.read() as transaction:
        assert {one.disk_id for one in transaction.snapshots.all()} == set(order[5:])


def test_after_a_clock_was_set_back_all_are_due_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "READ_AT_ONCE", 2)
    hourly(world, 7)
    world.clock.advance(-100 * 3600)
    assert take_due(world.backend) == 0
    with world.catalog.read() as transaction:
        found = transaction.auto_runs.due(world.clock.now_ms() + HOUR_MS)
    assert len(found) == 7


def test_what_is_pending_elsewhere_counts_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "MAX_PENDING", 3)
    hourly(world, 6)
    world.clock.advance(2 * 3600)
    assert take_due(world.backend) == 3
    with world.catalog.write() as transaction:
        for one in transaction.snapshots.in_state(SnapshotState.PENDING):
            transaction.snapshots.change(one.id, disk_zone="of-another-host")
    assert take_due(world.backend) == 3


def test_of_very_many_only_those_that_are_due_have_metrics(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "MOST_TOLD", 3)
    hourly(world, 3)
    outcomes.tell(world.backend)
    assert all(f'disk="d{number}"'.encode() in metrics.text() for number in range(3))

    late = world.disk("late", tags=[{"key": TAG, "value": "every 5 minutes keep 1 hour"}])
    world.clock.advance(6 * 60)
    outcomes.tell(world.backend)
    with world.catalog.read() as transaction:
        told = {run.resource_id for run in transaction.auto_runs.due(world.clock.now_ms())}
        names = {one.name for one in transaction.disks.among(told)}
    assert late in told
    for name in ("d0", "d1", "d2", "late"):
        assert (f'disk="{name}"'.encode() in metrics.text()) == (name in names)


def test_disks_are_described_in_their_turn(world: World) -> None:
    ids = [world.disk(f"d{number}") for number in range(5)]
    describer = Describer(world.catalog, Engines(world.engines), at_once=2)
    looks = 1
    while not describer.look():
        looks += 1
    assert looks == 3
    assert sorted(world.engine.descriptions()) == sorted(ids)

    world.call("TagResource", resourceName="d0", tags=[{"key": "team", "value": "a"}])
    while not describer.look():
        pass
    assert b'"team"' in (world.engine.description(ids[0]) or b"")


def test_a_description_that_is_there_is_not_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [world.disk(f"d{number}") for number in range(3)]
    Describer(world.catalog, Engines(world.engines)).look()
    written: list[str] = []
    describe = world.engine.describe

    def note(disk_id: str, text: bytes) -> None:
        written.append(disk_id)
        describe(disk_id, text)

    monkeypatch.setattr(world.engine, "describe", note)
    world.call("TagResource", resourceName="d1", tags=[{"key": "team", "value": "a"}])
    # As a server that was started again.
    describer = Describer(world.catalog, Engines(world.engines))
    describer.look()
    assert written == [ids[1]]
    world.call("DeleteDisk", diskName="d2")
    for _ in range(3):
        describer.look()
    assert written == [ids[1]]


def test_a_server_that_stops_describes_what_has_changed(world: World) -> None:
    ids = [world.disk(f"d{number}") for number in range(5)]
    describer = Describer(world.catalog, Engines(world.engines), at_once=2)
    describer.look()
    world.call("TagResource", resourceName="d0", tags=[{"key": "team", "value": "a"}])
    describer.look_at_all(world.clock, 1.0)
    assert b'"team"' in (world.engine.description(ids[0]) or b"")
    assert len(world.engine.descriptions()) == 5


def test_addresses_are_given_again_once_all_were_in_use(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.catalog.tables.slots.SLOTS", 3)
    for name in ("one", "two", "three"):
        world.instance(name)
    world.call("DeleteInstance", instanceName="two")
    world.runner.drain()
    world.instance("four", ZONE)
    with world.catalog.read() as transaction:
        found = transaction.instances.by_name(REGION, "four")
    assert found is not None
    assert found.slot == 1
