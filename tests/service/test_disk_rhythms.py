"""The rhythms of a disk's automatic snapshots, through the service."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.automatic.timetable import Timetable
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.errors import InvalidInputException
from mooring.model.extents import BLOCK_SIZE
from tests.service.automatic import TAG, add_on, autos, dates, held_dates, live, world
from tests.service.test_named_snapshots import ask
from tests.service.world import ZONE, World

__all__ = ["world"]


def seconds(world: World, count: int) -> None:
    """Let time pass second by second; what is begun is done at once."""
    timetable = Timetable(world.backend)
    for _ in range(count):
        world.clock.advance(1)
        timetable.look()
        world.runner.drain()


def test_a_tag_gives_a_disk_rhythms(world: World) -> None:
    disk_id = world.disk()
    policy = "every 15 minutes keep 2 hours / hourly keep 12 hours"
    world.call("TagResource", resourceName="data", tags=[{"key": TAG, "value": policy}])

    live(world, 10 * HOUR_MS)

    found = [one["createdAt"] for one in autos(world)]
    now = world.clock.now_ms()
    young = [one for one in found if one > now - 2 * HOUR_MS]
    assert 8 <= len(young) <= 9
    old = [one for one in found if one <= now - 2 * HOUR_MS]
    assert 7 <= len(old) <= 9
    assert all(55 * MINUTE_MS <= a - b <= 65 * MINUTE_MS for a, b in itertools.pairwise(old[:-1]))
    assert len(list(world.vault.snapshot_ids())) == len(found)
    # Named by the minute where a day has several.
    newest = autos(world)[0]
    assert newest["date"] == datetime.fromtimestamp(newest["createdAt"] / 1000, UTC).strftime(
        "%Y-%m-%dT%H:%M"
    )
    with pytest.raises(InvalidInputException, match="Give more of the moment: the newest is"):
        world.call("DeleteAutoSnapshot", resourceName="data", date=newest["date"][:10])
    world.call("DeleteAutoSnapshot", resourceName="data", date=newest["date"])
    assert newest["date"] not in dates(world)
    # Without the tag no more are taken, and none of them goes.
    left = dates(world)
    world.call("UntagResource", resourceName="data", tagKeys=[TAG])
    live(world, DAY_MS)
    assert dates(world) == left
    assert disk_id


def test_a_disk_is_restored_to_the_minute(world: World) -> None:
    disk_id = world.disk(tags=[{"key": TAG, "value": "every 15 minutes keep 1 day"}])
    contents = {}
    for _ in range(4):
        data = os.urandom(BLOCK_SIZE)
        world.write(disk_id, 0, data)
        live(world, 15 * MINUTE_MS)
        contents[dates(world)[0]] = data
    assert len(contents) == 4

    for number, (date, data) in enumerate(contents.items()):
        name = f"r{number}"
        world.call(
            "CreateDiskFromSnapshot",
            diskName=name,
            sourceDiskName="data",
            restoreDate=date,
            availabilityZone=ZONE,
            sizeInGb=8,
        )
        world.settle()
        assert world.read(world.disk_id(name), 0, BLOCK_SIZE) == data


def test_a_disk_is_restored_to_the_second(world: World) -> None:
    disk_id = world.disk(tags=[{"key": TAG, "value": "every 10 seconds keep 10 minutes"}])
    contents = []
    for _ in range(15):
        data = os.urandom(BLOCK_SIZE)
        world.write(disk_id, 0, data)
        seconds(world, 10)
        contents.append(data)
    found = dict(zip(reversed(dates(world)), contents, strict=True))
    assert all(len(date) == len("2026-11-24T00:00:10") for date in found)

    names = iter(range(100))

    def restored(date: str) -> bytes:
        name = f"r{next(names)}"
        world.call(
            "CreateDiskFromSnapshot",
            diskName=name,
            sourceDiskName="data",
            restoreDate=date,
            availabilityZone=ZONE,
            sizeInGb=8,
        )
        world.settle()
        return world.read(world.disk_id(name), 0, BLOCK_SIZE)

    assert [restored(date) for date in found] == contents
    # Less of the moment means the newest; a name after an @, and a deletion, must mean one.
    oldest, *others = found
    minute = oldest[:16]
    of_minute = [date for date in found if date.startswith(minute)]
    assert restored(minute) == found[of_minute[-1]]
    for date in (minute, "2026-11-24"):
        with pytest.raises(InvalidInputException, match=r"the newest is 2026-11-24T00:0\d:\d\d\."):
            world.call("DeleteAutoSnapshot", resourceName="data", date=date)
        with pytest.raises(InvalidInputException, match="can be any of"):
            ask(world, "snapshot", diskSnapshotName=f"data@{date}")
    for date in of_minute[1:]:
        world.call("DeleteAutoSnapshot", resourceName="data", date=date)
    # The last one of its minute is named by that; the longer name is right as well.
    assert dates(world)[-1] == minute
    assert restored(oldest) == restored(minute) == found[oldest]
    world.call("DeleteAutoSnapshot", resourceName="data", date=oldest)
    assert dates(world)[-1] == others[len(of_minute) - 1]


def test_manual_ones_are_not_held_up_by_rhythms(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "every 15 minutes keep 1 day"}])
    world.clock.advance(16 * 60)
    assert take_due(world.backend) == 1

    world.snapshot("manual")
    world.settle()

    assert world.state("manual")["state"] == "completed"
    assert len(held_dates(world)) == 1


def test_add_on_and_rhythms_keep_apart(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "hourly keep 3 hours"}], addOns=[add_on("06:00")])

    live(world, 3 * DAY_MS)

    daily = [date for date in dates(world) if "T" not in date]
    assert daily == ["2026-11-26", "2026-11-25", "2026-11-24"]
    assert 3 <= len(dates(world)) - 3 <= 4
    # A day alone means the newest of it.
    world.call(
        "CreateDiskFromSnapshot",
        diskName="new",
        sourceDiskName="data",
        restoreDate="2026-11-26",
        availabilityZone=ZONE,
        sizeInGb=8,
    )


def test_tags_that_are_not_rhythms(world: World) -> None:
    world.disk()
    world.instance()
    for value in ("often", "hourly keep 1 minute", None, ""):
        with pytest.raises(InvalidInputException, match="rhythms of snapshots"):
            world.call("TagResource", resourceName="data", tags=[{"key": TAG, "value": value}])
        with pytest.raises(InvalidInputException, match="rhythms of snapshots"):
            world.disk("other", tags=[{"key": TAG, "value": value}])
    with pytest.raises(InvalidInputException, match=r"slashes.*hourly keep"):
        world.call(
            "TagResource",
            resourceName="data",
            tags=[{"key": TAG, "value": "hourly keep 1 day, daily keep 1 week"}],
        )
    good = [{"key": TAG, "value": "hourly keep 1 day"}]
    world.call("CreateKeyPair", keyPairName="key")
    with pytest.raises(InvalidInputException, match="of the type Disk or Instance, not on a Key"):
        world.call("TagResource", resourceName="key", tags=good)
    assert world.call("GetDisk", diskName="data")["disk"]["tags"] == []
    assert world.call("GetActiveNames")["activeNames"] == ["data", "key", "web"]


def test_a_snapshot_keeps_its_disks_rhythms_without_following_them(world: World) -> None:
    world.disk()
    world.snapshot("snap")
    world.call(
        "TagResource", resourceName="snap", tags=[{"key": TAG, "value": "hourly keep 1 day"}]
    )
    world.clock.advance(2 * 3600)

    assert take_due(world.backend) == 0
    assert {"key": TAG, "value": "hourly keep 1 day"} in world.state("snap")["tags"]


def test_a_disk_with_the_tag_is_deleted_only_by_force(world: World) -> None:
    world.disk(tags=[{"key": TAG, "value": "hourly keep 1 day"}])
    with pytest.raises(InvalidInputException, match="with the tag mooring:snapshots"):
        world.call("DeleteDisk", diskName="data")
    world.call("UntagResource", resourceName="data", tagKeys=[TAG])
    world.call("DeleteDisk", diskName="data")


def test_rhythms_of_the_configuration_are_for_disks_without_a_tag(world: World) -> None:
    world.disk("plain")
    world.disk("own", tags=[{"key": TAG, "value": "every 2 hours keep 1 day"}])
    world.disk("none", tags=[{"key": TAG, "value": "none"}])

    live(world, 6 * HOUR_MS, rhythms="hourly keep 1 day")

    counts = {name: len(autos(world, name)) for name in ("plain", "own", "none")}
    assert counts["plain"] in (5, 6)
    assert counts["own"] in (2, 3)
    assert counts["none"] == 0
    # A server that starts with other ones follows these.
    timetable = Timetable(world.backend)
    timetable.forget_old_rhythms()
    live(world, 6 * HOUR_MS)
    assert len(autos(world, "plain")) == counts["plain"]
    world.call("UntagResource", resourceName="own", tagKeys=[TAG])
    live(world, 6 * HOUR_MS, rhythms="hourly keep 1 day")
    assert len(autos(world, "own")) >= counts["own"] + 8
    world.call("DeleteDisk", diskName="plain")


@pytest.mark.parametrize("is_set_right", [True, False])
def test_a_clock_that_leaps_makes_nothing_old_at_once(world: World, is_set_right: bool) -> None:
    world.disk()
    policy = "hourly keep 12 hours / daily keep 1 month"
    world.call("TagResource", resourceName="data", tags=[{"key": TAG, "value": policy}])
    live(world, 4 * DAY_MS)
    before = held_dates(world)
    days = set(before[-3:])

    world.clock.milliseconds += 400 * DAY_MS
    live(world, 2 * HOUR_MS)
    # As many have gone as in any two hours.
    gone = set(before) - set(held_dates(world))
    assert 1 <= len(gone) <= 3
    assert not days & gone

    if is_set_right:
        world.clock.milliseconds -= 400 * DAY_MS
        live(world, DAY_MS)
        assert set(before) & set(held_dates(world)) >= days
        assert len(set(before) & set(held_dates(world))) <= len(days) + 1
    else:
        # It was no mistake: the host was off for so long.
        live(world, DAY_MS + HOUR_MS)
        assert not set(before) & set(held_dates(world))
