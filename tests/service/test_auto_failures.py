"""Automatic snapshots that failed: kept, reported with their reason, and dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.jobs.automatic import outcomes
from mooring.jobs.automatic.timetable import Timetable
from mooring.model.automatic.health import KEPT_FAILURES, every, span
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.errors import CanceledError, EngineError, NotFoundException
from mooring.observe import metrics
from tests.service.automatic import MIDNIGHT, TAG, add_on, autos, enable, live
from tests.service.test_named_snapshots import ask
from tests.service.world import REGION, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.clock.milliseconds = MIDNIGHT
    yield world
    world.close()


def told(world: World, name: str = "data") -> list[tuple[str, str]]:
    """The dates and how each is, newest first."""
    return [(one["date"], one["status"]) for one in autos(world, name)]


def night_in_vain(world: World, date: int) -> None:
    """The hours around six in the morning of a day of November."""
    world.clock.milliseconds = MIDNIGHT + (date - 24) * DAY_MS + 5 * HOUR_MS
    live_in_vain(world, 2 * HOUR_MS)


def health(world: World) -> list[tuple[bool, str]]:
    return [(one["ok"], one["text"]) for one in ask(world, "automatic")["automatic"]]


def live_in_vain(world: World, milliseconds: int) -> None:
    """Let time pass in which no disk can be frozen."""

    def refuse(*_: object) -> None:
        raise CanceledError("its users do not come to rest")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.engine, "freeze", refuse)
        live(world, milliseconds)


def gauges() -> list[str]:
    lines = metrics.text().decode().splitlines()
    return [line for line in lines if "auto_snapshot" in line and not line.startswith("#")]


def test_nights_that_could_not_be_frozen(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, 8 * HOUR_MS)
    night_in_vain(world, 25)
    night_in_vain(world, 26)

    assert told(world) == [
        ("2026-11-26", "Failed"),
        ("2026-11-25", "Failed"),
        ("2026-11-24", "Success"),
    ]
    ((ok, text),) = health(world)
    assert not ok
    assert text.startswith("the newest automatic snapshot, data@2026-11-24T06:")
    assert "is 2 days old, wanted every day; the last failure, of 2026-11-26T" in text
    assert " tries): its users do not come to rest" in text
    (stat,) = ask(world, "disk", diskName="data")["automatic"]
    assert (stat["text"], stat["ok"]) == (text, False)

    live(world, HOUR_MS)

    # What is made up for is told no more; the night that has none is.
    assert told(world) == [
        ("2026-11-26", "Success"),
        ("2026-11-25", "Failed"),
        ("2026-11-24", "Success"),
    ]
    assert health(world)[0][0]
    live(world, 7 * DAY_MS)
    assert {status for _, status in told(world)} == {"Success"}


def test_no_more_than_a_few_are_kept(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "every 5 minutes keep 1 day"}])
    live_in_vain(world, 55 * MINUTE_MS)

    assert [status for _, status in told(world)] == ["Failed"] * KEPT_FAILURES
    assert told(world)[0][0].startswith("2026-11-24T00:5")
    ((ok, text),) = health(world)
    assert not ok
    assert text.startswith(
        "there is no automatic snapshot, wanted every 5 minutes; the last failure"
    )


def test_one_that_could_not_be_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.disk(addOns=[add_on("06:00")])
    with monkeypatch.context() as patch:

        def broken(*_: object) -> None:
            raise EngineError("the disk does not answer")

        patch.setattr(world.engine, "open_point", broken)
        live(world, 8 * HOUR_MS)

    assert told(world) == [("2026-11-24", "Failed")]
    ((ok, text),) = health(world)
    assert not ok
    assert "the disk does not answer" in text
    live(world, DAY_MS)
    assert told(world) == [("2026-11-25", "Success"), ("2026-11-24", "Failed")]
    assert health(world)[0][0]


def test_days_on_which_no_server_ran(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, DAY_MS)
    world.clock.advance(4 * DAY_MS / 1000)

    ((ok, text),) = health(world)
    assert not ok
    assert "the next is due since 2026-11-25T06:" in text
    live(world, HOUR_MS)

    assert told(world) == [
        ("2026-11-29", "Success"),
        ("2026-11-28", "Failed"),
        ("2026-11-27", "Failed"),
        ("2026-11-26", "Failed"),
        ("2026-11-25", "Failed"),
        ("2026-11-24", "Success"),
    ] or told(world)[1:] == [
        ("2026-11-27", "Failed"),
        ("2026-11-26", "Failed"),
        ("2026-11-25", "Failed"),
        ("2026-11-24", "Success"),
    ]
    ((ok, text),) = health(world)
    assert ok
    assert "no server ran when it was due" in text


def test_what_waited_was_not_missed(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "hourly keep 1 day"}])
    timetable = Timetable(world.backend)
    timetable.look()
    for _ in range(5 * 6):
        world.clock.advance(600)
        timetable.look()  # nothing runs the jobs: the first one stays pending

    assert [status for _, status in told(world)] == ["InProgress"]
    assert "due since" in health(world)[0][1]
    world.settle()


def test_deleting_a_failed_one(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    night_in_vain(world, 24)
    night_in_vain(world, 25)
    assert told(world) == [("2026-11-25", "Failed"), ("2026-11-24", "Failed")]

    world.call("DeleteAutoSnapshot", resourceName="data", date="2026-11-24")

    assert told(world) == [("2026-11-25", "Failed")]
    with pytest.raises(NotFoundException):
        world.call("DeleteAutoSnapshot", resourceName="data", date="2026-11-24")
    world.call("DisableAddOn", resourceName="data", addOnType="AutoSnapshot")
    assert told(world) == []
    assert health(world) == []


def test_an_instances_are_told_as_well(world: World) -> None:
    world.disk()
    world.instance()
    world.attach()
    enable(world, "06:00", "web")
    live_in_vain(world, 8 * HOUR_MS)

    assert told(world, "web") == [("2026-11-24", "Failed")]
    found = ask(world, "automatic")["automatic"]
    assert [(one["kind"], one["name"], one["ok"]) for one in found] == [("instance", "web", False)]


def test_a_broken_disk_is_a_failure(world: World) -> None:
    disk_id = world.disk(addOns=[add_on("06:00")])
    with world.catalog.write() as transaction:
        transaction.disks.change(disk_id, state="error")
    live(world, DAY_MS)

    assert told(world) == [("2026-11-24", "Failed")]
    assert "the disk data could not be made" in health(world)[0][1]


def test_the_metrics_say_when(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, DAY_MS)
    outcomes.tell(world.backend)
    (newest, *_) = autos(world)
    labels = f'disk="data",region="{REGION}"'
    values: dict[str, float] = {}
    for line in gauges():
        if labels in line:
            values[line.partition("{")[0]] = float(line.rpartition(" ")[2])
    stored = "mooring_auto_snapshot_last_success_timestamp_seconds"
    due = "mooring_auto_snapshot_due_timestamp_seconds"
    assert values[stored] == pytest.approx(newest["createdAt"] / 1000)
    assert values[due] * 1000 > world.clock.now_ms()

    night_in_vain(world, 25)
    failing: dict[str, Any] = {}
    outcomes.tell(world.backend)
    for line in gauges():
        if labels in line:
            failing[line.partition("{")[0]] = float(line.rpartition(" ")[2])
    assert failing[stored] == values[stored]
    assert failing[due] * 1000 < world.clock.now_ms() - 10 * MINUTE_MS

    world.call("DeleteDisk", diskName="data", forceDeleteAddOns=True)
    outcomes.tell(world.backend)
    assert not [line for line in gauges() if labels in line]


@pytest.mark.parametrize(
    ("length", "period", "age"),
    [
        (5 * MINUTE_MS, "every 5 minutes", "5 minutes"),
        (HOUR_MS, "every hour", "60 minutes"),
        (DAY_MS, "every day", "24 hours"),
        (3 * DAY_MS, "every 3 days", "3 days"),
        (7 * DAY_MS, "every week", "7 days"),
        (90 * MINUTE_MS, "every 90 minutes", "90 minutes"),
    ],
)
def test_lengths_in_words(length: int, period: str, age: str) -> None:
    assert (every(length), span(length)) == (period, age)
