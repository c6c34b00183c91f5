"""Automatic snapshots under test: time that passes, and what was taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.jobs.automatic.timetable import Timetable
from mooring.model.automatic.rhythm import DAY_MS, MINUTE_MS
from tests.service.world import World

MIDNIGHT = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)

TAG = "mooring:snapshots"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.clock.milliseconds = MIDNIGHT
    yield world
    world.close()


def add_on(time: str | None = None) -> dict[str, Any]:
    request: dict[str, Any] = {"addOnType": "AutoSnapshot"}
    if time is not None:
        request["autoSnapshotAddOnRequest"] = {"snapshotTimeOfDay": time}
    return request


def enable(world: World, time: str | None = None, name: str = "data") -> Mapping[str, Any]:
    return world.call("EnableAddOn", resourceName=name, addOnRequest=add_on(time))


def live(world: World, milliseconds: int, rhythms: str = "") -> None:
    """Let time pass, from one due run to the next; what is begun is done at once."""
    timetable = Timetable(world.backend, rhythms)
    end = world.clock.now_ms() + milliseconds
    timetable.look()
    while (now := world.clock.now_ms()) < end:
        with world.catalog.read() as transaction:
            due = [run.next_ms for run in transaction.auto_runs.due(end + 9 * DAY_MS)]
        # The server is ten seconds late; what could not be taken it tries again soon.
        step = max(MINUTE_MS, min(due, default=end) + 10_000 - now)
        world.clock.advance(min(step, end - now) / 1000)
        timetable.look()
        world.settle()


def autos(world: World, name: str = "data") -> list[Mapping[str, Any]]:
    return list(world.call("GetAutoSnapshots", resourceName=name)["autoSnapshots"])


def dates(world: World, name: str = "data") -> list[str]:
    return [one["date"] for one in autos(world, name)]


def held_dates(world: World, name: str = "data") -> list[str]:
    """The dates of those that did not fail."""
    return [one["date"] for one in autos(world, name) if one["status"] != "Failed"]
