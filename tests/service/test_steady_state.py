"""Rhythms of seconds over most of an hour: nothing grows that does not also go."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select

from mooring.catalog.tables import schema
from mooring.jobs.automatic.expire_snapshots import COLLECT_SECONDS
from mooring.jobs.automatic.timetable import Timetable
from mooring.jobs.running.execution import Observer
from mooring.jobs.schedule import Schedule, tasks
from mooring.model.automatic.rhythm import MINUTE_MS, SECOND_MS, parse_rhythms
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.vault.claims.margins import MARGINS
from tests.service.automatic import TAG
from tests.service.world import REGION, World

QUICK = "every second keep 1 minute / every minute keep 10 minutes"
SLOWER = "every 10 seconds keep 5 minutes"
SECONDS, SETTLED = 3000, 1800
"""How long it is watched, and from when on nothing may grow."""


@dataclass
class Sizes:
    """The most that there was of everything."""

    most: Counter[str]

    def look(self, world: World) -> None:
        with world.catalog.read() as transaction:
            for table in schema.metadata.sorted_tables:
                count = transaction.jobs._connection.execute(
                    select(func.count()).select_from(table)
                ).scalar_one()
                self.note(table.name, count)
        names = Counter(name.partition("/")[0] for name in world.stores[REGION].names(""))
        for kind, count in names.items():
            self.note(kind, count)

    def note(self, what: str, count: int) -> None:
        self.most[what] = max(self.most[what], count)


def counting(runs: Counter[JobKind]) -> Observer:
    def observe(job: Job, _step: str, moment: str) -> None:
        runs[job.kind] += moment == "begin"

    return observe


@pytest.mark.full
def test_snapshots_every_second_are_bounded_in_number() -> None:
    runs: Counter[JobKind] = Counter()
    world = World(counting(runs))
    disks = [world.disk("quick", tags=[{"key": TAG, "value": QUICK}])]
    disks.append(world.disk("slower", tags=[{"key": TAG, "value": SLOWER}]))
    world.disk("part")
    world.instance(tags=[{"key": TAG, "value": SLOWER}])
    world.attach("part")
    timetable = Timetable(world.backend)
    schedule = Schedule(world.backend, tasks(collect_minutes=60, verify_hours=0, verify_percent=1))
    grown, settled = Sizes(Counter()), Sizes(Counter())
    begun = world.clock.monotonic()
    while (second := int(world.clock.monotonic() - begun)) < SECONDS:
        if second % 4 == 0:
            world.write(disks[0], second % 64 * BLOCK_SIZE, os.urandom(BLOCK_SIZE))
        pause = timetable.look()
        world.runner.drain()
        schedule.look()
        if second % 7 == 0:
            (grown if second < SETTLED else settled).look(world)
        world.clock.advance(pause)

    # Kept by the rhythms, with those of the minute until the next expiry.
    kept = sum(-(-one.keep_ms // one.period_ms) for one in parse_rhythms(QUICK))
    kept_slower = 2 * (parse_rhythms(SLOWER)[0].keep_ms // (10 * SECOND_MS))
    snapshots = kept + kept_slower + 2 * (60 + 6 + 6)
    assert 0.5 * snapshots < settled.most["disk_snapshots"] <= snapshots
    assert settled.most["roots"] <= snapshots
    # What has expired since the collection before last, which a tombstone may just outlive.
    waiting = 2 * COLLECT_SECONDS + MARGINS.tombstone_kept_ms / SECOND_MS
    expired = round(waiting * (1 + 0.1 + 0.1))
    assert settled.most["deleted"] <= expired
    assert settled.most["segments"] <= snapshots + expired
    assert settled.most["claims"] <= 1
    assert settled.most["jobs"] <= 10
    assert settled.most["auto_failures"] == 0
    assert settled.most["operations"] == len(disks) + 1 + 1 + 2
    for what, most in settled.most.items():
        assert most <= 1.1 * grown.most[what] + 10, f"{what} grew from {grown.most[what]} to {most}"
    # Many go together, and share a collection.
    assert runs[JobKind.UPLOAD_SNAPSHOT] > 1.1 * SECONDS
    assert runs[JobKind.EXPIRE_SNAPSHOTS] <= 3 * SECONDS / 60 + 3
    assert runs[JobKind.DELETE_SNAPSHOT] == 0
    assert runs[JobKind.COLLECT_VAULT] <= SECONDS / COLLECT_SECONDS + 1 + 2 * 2

    # The promise is kept all the while.
    with world.catalog.read() as transaction:
        moments = [one.created_ms for one in transaction.snapshots.auto_of_disk(disks[0])]
    now = world.clock.now_ms()
    assert {now - count * SECOND_MS for count in range(1, 60)} <= set(moments)
    minutes = {moment // MINUTE_MS for moment in moments}
    assert {now // MINUTE_MS - count for count in range(1, 10)} <= minutes
    assert world.vault.verify() == []
    world.close()
