"""Automatic snapshots of instances: all disks at one instant, whatever comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.automatic.timetable import Timetable
from mooring.model.automatic.rhythm import DAY_MS, HOUR_MS, MINUTE_MS
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
    PointNotFoundError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from tests.service.automatic import MIDNIGHT, TAG, add_on, autos, dates, live
from tests.service.test_copies import FAR
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

PATHS = {"data": "/dev/xvdf", "logs": "/dev/xvdg"}
PLACE: dict[str, Any] = {"availabilityZone": ZONE, "bundleId": "external"}
LATEST: dict[str, Any] = {"useLatestRestorableAutoSnapshot": True}


@pytest.fixture
def world() -> Iterator[World]:
    world = new_world()
    yield world
    world.close()


def new_world(world: World | None = None) -> World:
    """With an instance `web` that has two disks, each with something of its own on it."""
    world = world or World()
    world.clock.milliseconds = MIDNIGHT
    world.instance()
    for number, (name, path) in enumerate(PATHS.items()):
        world.disk(name)
        world.attach(name, "web", path)
        write(world, name, content(number))
    return world


def write(world: World, disk: str, data: bytes) -> None:
    world.engine.write(world.disk_id(disk), 0, data)


def read(world: World, disk: str) -> bytes:
    return world.engine.read(world.disk_id(disk), 0, BLOCK_SIZE)


def enable(world: World, time: str | None = "06:00", name: str = "web") -> Any:
    return world.call("EnableAddOn", resourceName=name, addOnRequest=add_on(time))


def taken(world: World, instance: str = "web") -> list[InstanceSnapshot]:
    """The automatic snapshots of the instance, oldest first."""
    with world.catalog.read() as transaction:
        found = transaction.instances.by_name(REGION, instance)
        assert found is not None
        return transaction.instance_snapshots.auto_of_instance(found.id)


def disks_of(world: World) -> list[list[str]]:
    """Which disks each automatic snapshot of the instance holds, oldest first."""
    return [sorted(part.disk_name for part in one.parts) for one in taken(world)]


def is_clean(world: World) -> None:
    """Neither jobs are left nor frozen points that could be read."""
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        disks = transaction.disks.all()
    for disk in disks:
        for point in world.engine.points(disk.id):
            with pytest.raises(PointNotFoundError):
                world.engine.open_point(disk.id, point)


# --- the add-on


def test_enable_change_and_disable(world: World) -> None:
    (operation,) = enable(world)["operations"]

    assert (operation["resourceType"], operation["resourceName"]) == ("Instance", "web")
    assert operation["location"]["availabilityZone"] == ZONE
    assert (operation["operationType"], operation["status"]) == ("EnableAddOn", "Succeeded")
    (shown,) = world.call("GetInstance", instanceName="web")["instance"]["addOns"]
    assert (shown["status"], shown["snapshotTimeOfDay"]) == ("Enabled", "06:00")
    with pytest.raises(InvalidInputException, match="already in requested state"):
        enable(world)
    enable(world, "07:00")
    world.call("DisableAddOn", resourceName="web", addOnType="AutoSnapshot")
    (shown,) = world.call("GetInstances")["instances"][0]["addOns"]
    assert (shown["status"], shown["snapshotTimeOfDay"]) == ("Disabled", "07:00")
    enable(world, "05:00")
    (shown,) = world.call("GetInstances")["instances"][0]["addOns"]
    assert (shown["status"], shown["snapshotTimeOfDay"]) == ("Enabled", "05:00")
    world.call("DisableAddOn", resourceName="web", addOnType="AutoSnapshot")
    with pytest.raises(InvalidInputException, match="AutoSnapshot not enabled"):
        world.call("DisableAddOn", resourceName="web", addOnType="AutoSnapshot")


def test_all_disks_are_taken_at_one_instant_every_day(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[set[str]] = []
    freeze = world.engine.freeze

    def watch(points: dict[str, str]) -> object:
        frozen.append(set(points))
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", watch)
    enable(world)

    live(world, 3 * DAY_MS)

    assert dates(world, "web") == ["2026-11-26", "2026-11-25", "2026-11-24"]
    assert frozen == [{world.disk_id(name) for name in PATHS}] * 3
    for one in autos(world, "web"):
        assert one["status"] == "Success"
        assert one["fromAttachedDisks"] == [
            {"path": path, "sizeInGb": 8} for path in PATHS.values()
        ]
        assert 0 <= (one["createdAt"] - MIDNIGHT) % DAY_MS - 6 * HOUR_MS <= 45 * MINUTE_MS
    # They are no snapshots of the disks, nor among those that have names.
    assert dates(world, "data") == []
    assert world.call("GetInstanceSnapshots")["instanceSnapshots"] == []
    assert world.call("GetDiskSnapshots")["diskSnapshots"] == []
    assert world.call("GetActiveNames")["activeNames"] == ["data", "logs", "web"]


def test_seven_are_kept_and_the_room_comes_back(world: World) -> None:
    enable(world)
    for number in range(10):
        write(world, "data", content(number))
        live(world, DAY_MS)

    assert dates(world, "web") == [f"2026-12-0{n}" for n in (3, 2, 1)] + [
        f"2026-11-{n}" for n in (30, 29, 28, 27)
    ]
    assert len(list(world.vault.snapshot_ids())) == 2 * 7
    # Each was stored as what had changed since the one before.
    changed = {part.disk_name: part.changed_bytes for part in taken(world)[-1].parts}
    assert changed == {"data": BLOCK_SIZE, "logs": 0}


def test_an_instance_is_made_from_one(world: World) -> None:
    enable(world)
    live(world, DAY_MS)
    old = {name: read(world, name) for name in PATHS}
    for number, name in enumerate(PATHS):
        write(world, name, content(7 + number))
    live(world, DAY_MS)
    new = {name: read(world, name) for name in PATHS}

    for name, choice in (("old", {"restoreDate": "2026-11-24"}), ("new", LATEST)):
        world.call(
            "CreateInstancesFromSnapshot",
            instanceNames=[name],
            sourceInstanceName="web",
            **PLACE,
            **choice,
        )
    world.settle()

    for name, wanted in (("old", old), ("new", new)):
        assert world.call("GetInstanceState", instanceName=name)["state"]["name"] == "running"
        assert {disk: read(world, f"{name}-{disk}") for disk in PATHS} == wanted


def test_add_ons_at_creation(world: World) -> None:
    world.instance_snapshot("all")
    world.settle()
    tags = [{"key": TAG, "value": "hourly keep 1 day"}]
    world.call(
        "CreateInstances",
        instanceNames=["one", "two"],
        blueprintId="external",
        addOns=[add_on()],
        tags=tags,
        **PLACE,
    )
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["three"],
        instanceSnapshotName="all",
        addOns=[add_on("09:00")],
        tags=tags,
        **PLACE,
    )
    world.settle()

    shown = {one["name"]: one["addOns"] for one in world.call("GetInstances")["instances"]}
    times = {name: [one["snapshotTimeOfDay"] for one in found] for name, found in shown.items()}
    assert times == {"web": [], "one": ["03:00"], "two": ["03:00"], "three": ["09:00"]}
    live(world, 2 * DAY_MS)
    for name in ("one", "two", "three"):
        assert len([date for date in dates(world, name) if "T" not in date]) == 2
        assert len([date for date in dates(world, name) if "T" in date]) >= 24
    with pytest.raises(InvalidInputException, match="full hour"):
        world.call(
            "CreateInstances",
            instanceNames=["four"],
            blueprintId="external",
            addOns=[add_on("09:30")],
            **PLACE,
        )


def test_what_could_not_be_restored_has_no_add_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.instance_snapshot("all")
    world.settle()

    def refuse(*_: object) -> None:
        raise EngineError("there is no room")

    monkeypatch.setattr(world.engine, "begin_clone", refuse)
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["new"],
        instanceSnapshotName="all",
        addOns=[add_on()],
        **PLACE,
    )
    world.settle()

    assert world.operations("new")[0]["status"] == "Failed"
    with world.catalog.read() as transaction:
        assert transaction.auto_runs.due(world.clock.now_ms() + 9 * DAY_MS) == []


def test_a_copy_of_one_is_a_manual_one(world: World) -> None:
    world.quiescer.commands.add("web")
    enable(world)
    live(world, DAY_MS)
    wanted = {name: read(world, name) for name in PATHS}
    asked = {"sourceRegion": REGION, "sourceResourceName": "web", "targetSnapshotName": "kept"}

    (operation,) = world.call("CopySnapshot", restoreDate="2026-11-24", **asked)["operations"]
    world.call("CopySnapshot", region=FAR, **LATEST, **asked)
    world.settle()
    world.call("DeleteInstance", instanceName="web", forceDeleteAddOns=True)
    world.settle()

    assert (operation["resourceType"], operation["operationDetails"]) == (
        "InstanceSnapshot",
        f"{REGION}:web",
    )
    for region in (REGION, FAR):
        asked_for = {"region": region, "instanceSnapshotName": "kept"}
        kept = world.call("GetInstanceSnapshot", **asked_for)["instanceSnapshot"]
        assert (kept["state"], kept["isFromAutoSnapshot"]) == ("available", True)
        assert kept["tags"] == [{"key": "mooring:consistency", "value": "application"}]
        with world.catalog.read() as transaction:
            found = transaction.instance_snapshots.by_name(region, "kept")
        assert found is not None
        for part in found.parts:
            with world.backend.vaults[region].open(part.id) as reader:
                assert reader.read(0, BLOCK_SIZE) == wanted[part.disk_name]
    assert len(list(world.vault.snapshot_ids())) == 2


# --- deleting


def test_delete_one_by_its_date(world: World) -> None:
    enable(world)
    live(world, 2 * DAY_MS)

    (operation,) = world.call("DeleteAutoSnapshot", resourceName="web", date="2026-11-24")[
        "operations"
    ]

    assert operation["resourceType"] == "Instance"
    assert operation["operationDetails"] == "DeleteAutoSnapshot-2026-11-24"
    world.settle()
    assert dates(world, "web") == ["2026-11-25"]
    assert len(list(world.vault.snapshot_ids())) == 2
    with pytest.raises(NotFoundException, match="does not exist: web of 2026-11-24"):
        world.call("DeleteAutoSnapshot", resourceName="web", date="2026-11-24")


@pytest.mark.parametrize("pending", [False, True])
def test_they_go_with_the_instance_but_only_by_force(world: World, pending: bool) -> None:
    enable(world)
    world.call("EnableAddOn", resourceName="data", addOnRequest=add_on("12:00"))
    live(world, DAY_MS)
    with pytest.raises(InvalidInputException, match=r"Instance web with addons\. .*forceDel"):
        world.call("DeleteInstance", instanceName="web")
    if pending:  # one more, which is not even frozen yet
        world.clock.advance(7 * 3600)
        assert take_due(world.backend) == 1

    world.call("DeleteInstance", instanceName="web", forceDeleteAddOns=True)
    world.settle()

    # What the disk has of its own stays with it.
    assert dates(world, "data") == ["2026-11-24"]
    with world.catalog.read() as transaction:
        (left,) = transaction.snapshots.all()
        assert transaction.instance_snapshots.all() == []
    assert list(world.vault.snapshot_ids()) == [left.id]
    is_clean(world)
    world.instance()
    assert dates(world, "web") == []
    world.call("DeleteInstance", instanceName="web")


def test_the_tag_holds_an_instance_as_well(world: World) -> None:
    tags = [{"key": TAG, "value": "hourly keep 1 day"}]
    world.call("TagResource", resourceName="web", tags=tags)
    with pytest.raises(InvalidInputException, match="Instance web with the tag mooring:snap"):
        world.call("DeleteInstance", instanceName="web")
    world.call("UntagResource", resourceName="web", tagKeys=[TAG])
    world.call("DeleteInstance", instanceName="web")


def test_no_manual_one_while_one_of_the_add_on_is_created(world: World) -> None:
    enable(world)
    world.clock.advance(7 * 3600)
    assert take_due(world.backend) == 1

    with pytest.raises(InvalidInputException, match="of the instance web is being created"):
        world.instance_snapshot("manual")
    with pytest.raises(OperationFailureException, match="is being taken right now"):
        world.call("DeleteAutoSnapshot", resourceName="web", date="2026-11-24")
    # That is the instance's; the disk may have one.
    world.snapshot("disk-alone")

    assert [one["status"] for one in autos(world, "web")] == ["InProgress"]
    world.settle()
    world.instance_snapshot("manual")
    world.settle()
    assert world.instance_state("manual")["state"] == "available"
    assert world.state("disk-alone")["state"] == "completed"


# --- rhythms


def test_a_tag_gives_an_instance_rhythms(world: World) -> None:
    policy = "every 15 minutes keep 2 hours / hourly keep 12 hours"
    world.call("TagResource", resourceName="web", tags=[{"key": TAG, "value": policy}])

    live(world, 10 * HOUR_MS)

    now = world.clock.now_ms()
    found = [one["createdAt"] for one in autos(world, "web")]
    assert 8 <= len([one for one in found if one > now - 2 * HOUR_MS]) <= 9
    assert 7 <= len([one for one in found if one <= now - 2 * HOUR_MS]) <= 9
    assert len(list(world.vault.snapshot_ids())) == 2 * len(found)
    newest = autos(world, "web")[0]["date"]
    world.call("DeleteAutoSnapshot", resourceName="web", date=newest)
    assert newest not in dates(world, "web")
    left = dates(world, "web")
    world.call("UntagResource", resourceName="web", tagKeys=[TAG])
    live(world, DAY_MS)
    assert dates(world, "web") == left


def test_rhythms_of_the_configuration(world: World) -> None:
    world.instance("own")
    world.call("TagResource", resourceName="own", tags=[{"key": TAG, "value": "none"}])

    def passes(rhythms: str, instance_rhythms: str) -> dict[str, int]:
        timetable = Timetable(world.backend, rhythms, instance_rhythms)
        timetable.forget_old_rhythms()
        before = {name: len(autos(world, name)) for name in ("web", "own", "data")}
        for _ in range(6 * 4):
            world.clock.advance(15 * 60)
            timetable.look()
            world.settle()
        return {name: len(autos(world, name)) - count for name, count in before.items()}

    counts = passes("", "hourly keep 1 day")
    assert counts["web"] in (5, 6)
    assert (counts["own"], counts["data"]) == (0, 0)
    counts = passes("hourly keep 1 day", "")
    assert counts["data"] in (5, 6)
    assert (counts["own"], counts["web"]) == (0, 0)
    world.call("DeleteInstance", instanceName="web")
