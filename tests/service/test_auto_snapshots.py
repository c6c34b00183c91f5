"""Automatic snapshots through the service, on a clock that moves only when told to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.errors import InvalidInputException, NotFoundException
from mooring.model.extents import BLOCK_SIZE
from tests.service.automatic import MIDNIGHT, add_on, autos, dates, enable, live, world
from tests.service.test_copies import FAR, held
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

__all__ = ["world"]


def test_one_is_taken_every_day_within_three_quarters_of_an_hour(world: World) -> None:
    names = [f"d{number}" for number in range(20)]
    for name in names:
        world.disk(name, addOns=[add_on("06:00")])

    live(world, 3 * DAY_MS)

    minutes = set()
    for name in names:
        assert dates(world, name) == ["2026-11-26", "2026-11-25", "2026-11-24"]
        for one in autos(world, name):
            assert one["status"] == "Success"
            late = (one["createdAt"] - MIDNIGHT) % DAY_MS - 6 * HOUR_MS
            assert 0 <= late <= 45 * MINUTE_MS
            minutes.add(late // MINUTE_MS)
    assert len(minutes) > 8, "they are all taken at once"


def test_seven_are_kept_and_the_room_comes_back(world: World) -> None:
    disk_id = world.disk(addOns=[add_on("06:00")])
    for number in range(10):
        world.write(disk_id, number * BLOCK_SIZE, content(number))
        live(world, DAY_MS)

    assert dates(world) == [f"2026-12-0{n}" for n in (3, 2, 1)] + [
        f"2026-11-{n}" for n in (30, 29, 28, 27)
    ]
    assert len(list(world.vault.snapshot_ids())) == 7
    # Each was stored as what had changed since the one before.
    with world.catalog.read() as transaction:
        found = transaction.snapshots.auto_of_disk(disk_id)
    assert [one.changed_bytes for one in found] == [BLOCK_SIZE] * 7


def test_they_are_not_among_the_others(world: World) -> None:
    disk_id = world.disk(addOns=[add_on("06:00")])
    live(world, 7 * HOUR_MS)
    world.snapshot("manual")
    world.settle()

    found = world.call("GetDiskSnapshots")["diskSnapshots"]
    assert [one["name"] for one in found] == ["manual"]
    assert world.call("GetActiveNames")["activeNames"] == ["data", "manual"]
    assert dates(world) == ["2026-11-24"]
    # The manual one was built on the automatic one.
    with world.catalog.read() as transaction:
        manual = transaction.snapshots.by_name(REGION, "manual")
        (auto,) = transaction.snapshots.auto_of_disk(disk_id)
    assert manual is not None
    assert manual.parent_id == auto.id
    assert auto.tags == {}


@pytest.mark.parametrize(
    ("now", "time", "first"),
    [
        ("12:00", "13:00", "2026-11-24"),
        ("12:29", "13:00", "2026-11-24"),
        ("12:30", "13:00", "2026-11-25"),
        ("12:45", "13:00", "2026-11-25"),
        ("13:01", "13:00", "2026-11-25"),
        ("23:45", "00:00", "2026-11-26"),
        ("23:29", "00:00", "2026-11-25"),
    ],
)
def test_a_time_too_near_takes_effect_the_next_day(
    world: World, now: str, time: str, first: str
) -> None:
    world.disk()
    world.clock.milliseconds = MIDNIGHT + int(now[:2]) * HOUR_MS + int(now[3:]) * MINUTE_MS
    enable(world, time)

    live(world, 50 * HOUR_MS)

    assert dates(world)[-1] == first


def test_a_day_has_one_even_if_the_time_changes(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, 8 * HOUR_MS)
    enable(world, "12:00")

    live(world, 2 * DAY_MS)

    assert dates(world) == ["2026-11-25", "2026-11-24"]
    assert datetime.fromtimestamp(autos(world)[0]["createdAt"] / 1000, UTC).hour == 12


def test_what_was_taken_is_kept_after_disabling(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, 2 * DAY_MS)
    world.call("DisableAddOn", resourceName="data", addOnType="AutoSnapshot")

    live(world, 10 * DAY_MS)

    assert dates(world) == ["2026-11-25", "2026-11-24"]


def test_no_manual_one_while_one_of_the_add_on_is_created(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1

    with pytest.raises(InvalidInputException, match="Please wait for it to complete"):
        world.snapshot("manual")

    assert [one["status"] for one in autos(world)] == ["InProgress"]
    world.settle()
    world.snapshot("manual")
    world.settle()
    assert world.state("manual")["state"] == "completed"


# --- deleting


def test_delete_one_by_its_date(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, 2 * DAY_MS)

    (operation,) = world.call("DeleteAutoSnapshot", resourceName="data", date="2026-11-24")[
        "operations"
    ]

    assert operation["operationDetails"] == "DeleteAutoSnapshot-2026-11-24"
    assert operation["location"] == {"availabilityZone": REGION, "regionName": REGION}
    assert (operation["status"], operation["statusChangedAt"]) == ("Succeeded", None)
    world.settle()
    assert dates(world) == ["2026-11-25"]
    assert len(list(world.vault.snapshot_ids())) == 1
    with pytest.raises(NotFoundException, match=r"data of 2026-11-24\. get-auto-snapshots"):
        world.call("DeleteAutoSnapshot", resourceName="data", date="2026-11-24")
    with pytest.raises(InvalidInputException, match="YYYY-MM-DD"):
        world.call("DeleteAutoSnapshot", resourceName="data", date="yesterday")


def test_they_go_with_the_disk_but_only_by_force(world: World) -> None:
    world.disk(addOns=[add_on("06:00")])
    live(world, DAY_MS)
    with pytest.raises(InvalidInputException) as caught:
        world.call("DeleteDisk", diskName="data")
    assert caught.value.message == (
        "You cannot delete the Disk data with addons. Specify the forceDeleteAddons parameter "
        "to delete the Disk and its associated addons."
    )

    # One more is pending, and not even frozen yet.
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1
    world.call("DeleteDisk", diskName="data", forceDeleteAddOns=True)
    world.settle()

    assert list(world.vault.snapshot_ids()) == []
    with world.catalog.read() as transaction:
        assert transaction.snapshots.all() == []
        assert transaction.jobs.all() == []
        assert transaction.auto_runs.due(world.clock.now_ms() + 9 * DAY_MS) == []
    with pytest.raises(NotFoundException):
        autos(world)
    world.disk()
    assert dates(world) == []
    world.call("DeleteDisk", diskName="data")


# --- using


def test_a_disk_is_made_from_an_automatic_snapshot(world: World) -> None:
    disk_id = world.disk(addOns=[add_on("06:00")])
    contents = []
    for number in range(2):
        contents.append(content(number))
        world.write(disk_id, 0, contents[-1])
        live(world, DAY_MS)
    asked: dict[str, Any] = {"availabilityZone": ZONE, "sizeInGb": 8, "sourceDiskName": "data"}

    world.call("CreateDiskFromSnapshot", diskName="old", restoreDate="2026-11-24", **asked)
    world.call(
        "CreateDiskFromSnapshot", diskName="new", useLatestRestorableAutoSnapshot=True, **asked
    )
    world.settle()

    assert world.read(world.disk_id("old"), 0, BLOCK_SIZE) == contents[0]
    assert world.read(world.disk_id("new"), 0, BLOCK_SIZE) == contents[1]


def test_a_copy_of_an_automatic_snapshot_is_a_manual_one(world: World) -> None:
    disk_id = world.disk(addOns=[add_on("06:00")])
    data = content(1)
    world.write(disk_id, 0, data)
    live(world, DAY_MS)
    asked = {"sourceRegion": REGION, "sourceResourceName": "data", "targetSnapshotName": "kept"}

    (operation,) = world.call("CopySnapshot", restoreDate="2026-11-24", **asked)["operations"]
    world.call("CopySnapshot", region=FAR, useLatestRestorableAutoSnapshot=True, **asked)
    world.settle()
    world.call("DeleteDisk", diskName="data", forceDeleteAddOns=True)
    world.settle()

    assert operation["operationDetails"] == f"{REGION}:data"
    kept = world.state("kept")
    assert (kept["state"], kept["isFromAutoSnapshot"]) == ("completed", True)
    for region in (REGION, FAR):
        assert held(world, "kept", BLOCK_SIZE, region) == data


def test_what_cannot_be_asked_for(world: World) -> None:
    world.disk()
    world.instance()
    world.snapshot("snap")
    world.settle()
    asked: dict[str, Any] = {"diskName": "new", "availabilityZone": ZONE, "sizeInGb": 8}
    for params, message in (
        ({"sourceDiskName": "data"}, "either restoreDate or useLatest"),
        (
            {
                "sourceDiskName": "data",
                "restoreDate": "2026-11-24",
                "useLatestRestorableAutoSnapshot": True,
            },
            "either restoreDate or useLatest",
        ),
        ({"sourceDiskName": "data", "diskSnapshotName": "snap"}, "not both"),
        ({"diskSnapshotName": "snap", "restoreDate": "2026-11-24"}, "omit them"),
        ({"sourceDiskName": "data", "restoreDate": "24.11.2026"}, "YYYY-MM-DD"),
    ):
        with pytest.raises(InvalidInputException, match=message):
            world.call("CreateDiskFromSnapshot", **asked, **params)
    with pytest.raises(NotFoundException, match="automatic snapshot does not exist: data"):
        world.call(
            "CreateDiskFromSnapshot",
            **asked,
            sourceDiskName="data",
            useLatestRestorableAutoSnapshot=True,
        )
    with pytest.raises(InvalidInputException, match="does not serve the add-on StopInstanceOnIdle"):
        world.call(
            "EnableAddOn", resourceName="web", addOnRequest={"addOnType": "StopInstanceOnIdle"}
        )
    with pytest.raises(InvalidInputException, match="web is not a disk but an instance"):
        world.call(
            "CreateDiskFromSnapshot",
            **asked,
            sourceDiskName="web",
            useLatestRestorableAutoSnapshot=True,
        )
    with pytest.raises(InvalidInputException, match="Only disks and instances have add-ons"):
        enable(world, name="snap")
    with pytest.raises(NotFoundException, match="resource does not exist: nope"):
        enable(world, name="nope")
    with pytest.raises(InvalidInputException, match="2 times"):
        world.disk("twice", addOns=[add_on(), add_on()])
    assert autos(world, "web") == []
