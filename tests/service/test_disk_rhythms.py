"""The rhythms of a disk's automatic snapshots, through the service."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.schedule import Schedule
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.errors import InvalidInputException
from mooring.model.extents import BLOCK_SIZE
from tests.service.test_auto_snapshots import TAG, add_on, autos, dates, held_dates, live, world
from tests.service.world import ZONE, World

__all__ = ["world"]


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
    with pytest.raises(InvalidInputException, match="Give the minute"):
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
    schedule = Schedule(world.backend, [], "")
    schedule.forget_old_rhythms()
    live(world, 6 * HOUR_MS)
    assert len(autos(world, "plain")) == counts["plain"]
    world.call("UntagResource", resourceName="own", tagKeys=[TAG])
    live(world, 6 * HOUR_MS, rhythms="hourly keep 1 day")
    assert len(autos(world, "own")) >= counts["own"] + 8
    world.call("DeleteDisk", diskName="plain")
