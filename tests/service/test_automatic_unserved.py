"""Automatic snapshots of what no server serves: failed, with the reason, until that is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from mooring.backend.hosts import HostBook
from mooring.catalog.database import Catalog
from mooring.cli.own.screens.status import screen
from mooring.engine.zones import Engines
from mooring.jobs.automatic import outcomes
from mooring.jobs.automatic.due import take_due
from mooring.jobs.watching import sources
from mooring.jobs.watching.troubles import TroubleWatch
from mooring.model.automatic.rhythm import HOUR_MS, MINUTE_MS
from mooring.model.automatic.rules import AutoSource
from mooring.model.resources.host import Host
from mooring.model.resources.server import Server
from mooring.model.trouble import TroubleKind
from mooring.observe import metrics
from mooring.service.overview.overview import overview
from tests.catalog.postgresql import PostgreSQL
from tests.service.automatic import MIDNIGHT, TAG, autos, live
from tests.service.world import ZONE, World

HOURLY = [{"key": TAG, "value": "hourly keep 1 day"}]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    world.clock.milliseconds = MIDNIGHT
    yield world
    world.close()


def serve(world: World, *zones: str, away: str = "") -> None:
    """Serve these zones only, as after a start with other settings; `away` is one that is not."""
    engines = Engines({zone: world.engines[zone] for zone in zones})
    if away:
        engines.away[away] = "the Ceph cluster does not answer"
    object.__setattr__(world.backend, "engines", engines)


def begin(world: World, name: str, *zones: str) -> None:
    """A host starts, with these zones in its settings."""
    with world.catalog.write() as transaction:
        transaction.hosts.begin(Host(id=name, name=name, zones=zones), world.clock.now_ms())
    world.backend.hosts.forget()


def statuses(world: World) -> list[str]:
    """How the automatic snapshots are, newest first."""
    return [one["status"] for one in autos(world)]


def failure(world: World) -> tuple[str, int]:
    """The last one's reason, and how often it was tried."""
    disk_id = world.disk_id("data")
    with world.catalog.read() as transaction:
        found = transaction.auto_failures.of(disk_id, AutoSource.TAG)[-1]
    return found.reason, found.attempts


def test_a_zone_that_the_settings_name_no_more(world: World) -> None:
    world.disk(tags=HOURLY)
    live(world, 2 * HOUR_MS)
    assert statuses(world) == ["Success", "Success"]

    serve(world, "us-east-2b")
    live(world, 3 * HOUR_MS)

    assert statuses(world) == ["Failed"] * 3 + ["Success"] * 2, "one for each that was due"
    why = f"the zone {ZONE} is not in the settings: add it"
    assert failure(world)[0].startswith(why)
    # It is told as any other failure is, wherever those are.
    (trouble,) = sources.automatic(world.backend)
    assert trouble.kind is TroubleKind.SNAPSHOT_FAILED
    assert why in trouble.text
    outcomes.tell(world.backend)
    failures = 'mooring_auto_snapshot_failures{disk="data",'
    assert [line for line in metrics.text().decode().splitlines() if line.startswith(failures)]
    TroubleWatch(world.backend, {}, {"automatic": partial(sources.automatic, world.backend)}).look()
    assert any("!! disk data in" in line for line in screen(overview(world.backend), 400))

    serve(world, ZONE, "us-east-2b")
    world.clock.advance(5 * 60)
    live(world, MINUTE_MS)

    assert statuses(world)[0] == "Success", "it is made up for within minutes, not in an hour"
    assert list(sources.automatic(world.backend)) == []


def test_a_zone_that_is_away(world: World) -> None:
    world.disk(tags=HOURLY)
    serve(world, away=ZONE)
    live(world, 2 * HOUR_MS)

    assert statuses(world) == ["Failed", "Failed"]
    reason, attempts = failure(world)
    assert reason == f"the zone {ZONE} is away: the Ceph cluster does not answer"
    assert attempts <= 12, "every five minutes, not at each look"


@pytest.mark.full
def test_a_zone_that_its_host_has_dropped_while_others_serve_it(postgresql: PostgreSQL) -> None:
    world = World(catalog=Catalog(postgresql.url()))
    mine = world.backend.host
    begin(world, mine, ZONE)
    world.disk(tags=HOURLY)
    begin(world, "beta", ZONE)
    begin(world, mine, "us-east-2b")
    serve(world, "us-east-2b")
    object.__setattr__(world.backend, "elsewhere", [ZONE])
    world.clock.advance(2 * 3600)

    assert take_due(world.backend) == 0

    assert statuses(world) == ["Failed"]
    reason = f"the zone {ZONE} is not in the settings of its host "
    assert failure(world)[0].startswith(reason)
    assert failure(world)[1] == 1
    take_due(world.backend)
    assert failure(world)[1] == 1, "it is tried again in some minutes"
    world.close()


@pytest.mark.full
def test_a_fenced_host_is_told_of_once_however_many_look(postgresql: PostgreSQL) -> None:
    url = postgresql.url()
    world = World(catalog=Catalog(url))
    lost = world.backend.host
    begin(world, lost, ZONE)
    world.disk(tags=HOURLY)
    with world.catalog.write() as transaction:
        transaction.hosts.fence(lost)
    others = []
    for name in ("beta", "gamma"):
        other = World(catalog=Catalog(url))
        object.__setattr__(other.backend, "this_server", Server(id=name, name=name))
        object.__setattr__(other.backend, "hosts", HostBook(other.catalog, other.clock))
        begin(other, name, ZONE)
        other.clock.milliseconds = world.clock.milliseconds + 2 * HOUR_MS
        others.append(other)

    looks = [threading.Thread(target=take_due, args=[one.backend]) for one in others]
    for look in looks:
        look.start()
    for look in looks:
        look.join()

    assert statuses(world) == ["Failed"]
    reason, attempts = failure(world)
    assert reason.startswith(f"its host {lost} was fenced: `mooringd restore-host {lost}`")
    assert attempts == 1
    for one in (*others, world):
        one.close()
