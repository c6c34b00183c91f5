"""Instance snapshots: all disks of an instance at one instant."""

from __future__ import annotations

import pytest

from mooring.jobs.recover import recover
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot
from tests.service.test_snapshots import content
from tests.service.world import REGION, ZONE, World

PATHS = {"data": "/dev/xvdf", "logs": "/dev/xvdg"}


@pytest.fixture
def used(world: World) -> World:
    """With an instance that has two disks."""
    world.instance()
    for name, path in PATHS.items():
        world.disk(name)
        world.engine.write(attached(world, name, path), 0, content(1, blocks=64))
    return world


def attached(world: World, name: str, path: str) -> str:
    world.attach(name, "web", path)
    return world.disk_id(name)


def write(world: World, name: str, block: int, data: bytes) -> None:
    world.engine.write(world.disk_id(name), block * BLOCK_SIZE, data)


def parts(world: World, snapshot: str) -> list[DiskSnapshot]:
    with world.catalog.read() as transaction:
        found = transaction.instance_snapshots.by_name(REGION, snapshot)
    assert found is not None
    return list(found.parts)


def stored(world: World, part: DiskSnapshot, blocks: int = 64) -> bytes:
    with world.vault.open(part.id) as reader:
        return bytes(reader.read(0, blocks * BLOCK_SIZE))


def contents(world: World) -> dict[str, bytes]:
    return {name: world.engine.read(world.disk_id(name), 0, 64 * BLOCK_SIZE) for name in PATHS}


def test_the_reply_is_as_the_real_services(used: World) -> None:
    snapshot, instance = used.instance_snapshot("all")["operations"]

    assert (snapshot["resourceType"], snapshot["resourceName"]) == ("InstanceSnapshot", "all")
    assert snapshot["location"] == {"availabilityZone": "all", "regionName": REGION}
    assert snapshot["operationDetails"] == "web"
    assert (instance["resourceType"], instance["resourceName"]) == ("Instance", "web")
    assert instance["location"] == {"availabilityZone": ZONE, "regionName": REGION}
    assert instance["operationDetails"] == "all"
    assert {one["operationType"] for one in (snapshot, instance)} == {"CreateInstanceSnapshot"}
    assert {one["status"] for one in (snapshot, instance)} == {"Started"}


def test_pending_then_available_with_what_was_there_at_the_request(used: World) -> None:
    before = contents(used)
    used.instance_snapshot("all")
    pending = used.instance_state("all")
    assert (pending["state"], pending["progress"]) == ("pending", "0%")
    for name in PATHS:
        write(used, name, 3, content(9))

    used.settle()

    found = used.instance_state("all")
    assert found["state"] == "available"
    assert (found["fromInstanceName"], found["sizeInGb"]) == ("web", 16)
    disks = {one["name"]: one for one in found["fromAttachedDisks"]}
    assert {name: one["path"] for name, one in disks.items()} == PATHS
    assert {one["sizeInGb"] for one in disks.values()} == {8}
    assert not any(one["isSystemDisk"] for one in disks.values())
    assert {one.disk_name: stored(used, one) for one in parts(used, "all")} == before
    for resource in ("all", "web"):
        assert used.operations(resource)[0]["status"] == "Succeeded"


def test_one_freeze_holds_all_disks(used: World, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[dict[str, str]] = []
    freeze = used.engine.freeze

    def watch(points: dict[str, str]) -> object:
        frozen.append(points)
        return freeze(points)

    monkeypatch.setattr(used.engine, "freeze", watch)

    used.instance_snapshot("all")

    assert [set(points) for points in frozen] == [{used.disk_id(name) for name in PATHS}]


def test_its_parts_are_shown_nowhere_else(used: World) -> None:
    used.instance_snapshot("all")
    used.settle()

    assert used.call("GetDiskSnapshots")["diskSnapshots"] == []
    assert used.call("GetActiveNames")["activeNames"] == ["all", "data", "logs", "web"]
    for operation in ("GetDiskSnapshot", "DeleteDiskSnapshot"):
        with pytest.raises(InvalidInputException, match="not a valid resource name"):
            used.call(operation, diskSnapshotName="all/data")


def test_parts_and_snapshots_of_a_disk_are_each_others_parents(used: World) -> None:
    used.snapshot("single")
    used.settle()
    write(used, "data", 5, content(2))
    used.instance_snapshot("all")
    used.settle()
    write(used, "data", 6, content(3))
    used.snapshot("again")
    used.settle()

    data, logs = parts(used, "all")
    with used.catalog.read() as transaction:
        single = transaction.snapshots.by_name(REGION, "single")
        again = transaction.snapshots.by_name(REGION, "again")
    assert single is not None
    assert again is not None
    assert (data.parent_id, data.changed_bytes) == (single.id, BLOCK_SIZE)
    assert logs.parent_id is None
    assert (again.parent_id, again.changed_bytes) == (data.id, BLOCK_SIZE)


def test_deleting_it_harms_nothing_and_leaves_nothing(used: World) -> None:
    used.instance_snapshot("all")
    used.settle()
    write(used, "data", 5, content(2))
    used.snapshot("later")
    used.settle()
    wanted = contents(used)["data"]

    (ended,) = used.call("DeleteInstanceSnapshot", instanceSnapshotName="all")["operations"]

    assert (ended["resourceType"], ended["status"]) == ("InstanceSnapshot", "Succeeded")
    used.settle()
    with pytest.raises(NotFoundException, match="The InstanceSnapshot does not exist: all"):
        used.instance_state("all")
    with used.catalog.read() as transaction:
        (later,) = transaction.snapshots.all()
        assert transaction.jobs.all() == []
    assert list(used.vault.snapshot_ids()) == [later.id]
    assert stored(used, later) == wanted
    used.instance_snapshot("all")


def test_deleted_while_pending_it_leaves_nothing(used: World) -> None:
    used.instance_snapshot("all")
    used.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    used.settle()

    assert list(used.vault.snapshot_ids()) == []
    newest = [one for one in used.operations("web") if one["operationDetails"] == "all"]
    assert (newest[0]["status"], newest[0]["errorCode"]) == ("Failed", "Canceled")
    for name in PATHS:
        assert used.engine.health(used.disk_id(name)).ok


def test_one_part_that_cannot_be_stored_fails_the_whole(
    used: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.instance_snapshot("all")
    open_point = used.engine.open_point
    broken = used.disk_id("logs")

    def refuse(disk_id: str, point_id: str) -> object:
        if disk_id == broken:
            raise EngineError("the disk does not answer")
        return open_point(disk_id, point_id)

    monkeypatch.setattr(used.engine, "open_point", refuse)
    used.settle()

    assert used.instance_state("all")["state"] == "error"
    newest = used.operations("all")[0]
    assert (newest["status"], newest["errorDetails"]) == ("Failed", "the disk does not answer")
    used.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    used.settle()
    assert list(used.vault.snapshot_ids()) == []


def test_of_a_stopped_instance(used: World) -> None:
    before = contents(used)
    used.call("StopInstance", instanceName="web")
    used.settle()

    used.instance_snapshot("all")
    used.settle()

    assert {one.disk_name: stored(used, one) for one in parts(used, "all")} == before


def test_without_disks_it_is_available_at_once(world: World) -> None:
    world.instance()

    snapshot, instance = world.instance_snapshot("all")["operations"]

    assert {one["status"] for one in (snapshot, instance)} == {"Succeeded"}
    found = world.instance_state("all")
    assert (found["state"], found["fromAttachedDisks"], found["sizeInGb"]) == ("available", [], 0)
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_a_failed_freeze_leaves_nothing(used: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_points: object) -> None:
        raise EngineError("the storage daemon does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(used.engine, "freeze", refuse)
        with pytest.raises(OperationFailureException, match="disks of the instance web could not"):
            used.instance_snapshot("all")

    assert used.call("GetInstanceSnapshots")["instanceSnapshots"] == []
    with used.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        assert transaction.snapshots.all() == []
    used.instance_snapshot("all")


class Killed(BaseException):
    """Ends the request as a kill would end the server."""


@pytest.mark.parametrize("frozen", [["data", "logs"], ["data"], []], ids=["all", "some", "none"])
def test_killed_while_it_is_taken_it_is_whole_or_not_at_all(used: World, frozen: list[str]) -> None:
    before = contents(used)

    def freeze_and_die(points: dict[str, str]) -> None:
        wanted = {used.disk_id(name) for name in frozen}
        freeze({disk: point for disk, point in points.items() if disk in wanted})
        raise Killed

    freeze = used.engine.freeze
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(used.engine, "freeze", freeze_and_die)
        # A real kill leaves no time to take the request back.
        patch.setattr("mooring.taking.recording.take_back", lambda *_: None)
        with pytest.raises(Killed):
            used.instance_snapshot("all")
    write(used, "data", 1, content(7))

    recover(used.backend)
    used.settle()

    if len(frozen) == len(PATHS):
        assert used.instance_state("all")["state"] == "available"
        assert {one.disk_name: stored(used, one) for one in parts(used, "all")} == before
    else:
        assert used.call("GetActiveNames")["activeNames"] == ["data", "logs", "web"]
        with used.catalog.read() as transaction:
            assert transaction.jobs.all() == []
        assert list(used.vault.snapshot_ids()) == []
    now = contents(used)
    used.instance_snapshot("next")
    used.settle()
    assert {one.disk_name: stored(used, one) for one in parts(used, "next")} == now


def test_what_cannot_be_asked_for(used: World) -> None:
    with pytest.raises(NotFoundException, match="The Instance does not exist: nope"):
        used.instance_snapshot("all", instance="nope")
    with pytest.raises(InvalidInputException, match="already in use: data"):
        used.instance_snapshot("data")
    used.call("StopInstance", instanceName="web")
    with pytest.raises(OperationFailureException, match="The state of this instance is: stopping"):
        used.instance_snapshot("all")
    used.settle()
    used.disk("third")
    used.call("AttachDisk", diskName="third", instanceName="web", diskPath="/dev/xvdh")
    with pytest.raises(OperationFailureException, match="third of the instance web is attaching"):
        used.instance_snapshot("all")


def test_pending_ones_count_on_each_disk(used: World) -> None:
    for number in range(5):
        used.instance_snapshot(f"s{number}")
    for ask in (used.instance_snapshot, used.snapshot):
        with pytest.raises(InvalidInputException, match="data has 5 pending") as caught:
            ask("one-more")
        assert caught.value.code == "PendingSnapshotLimitExceeded"
    used.settle()
    assert {used.instance_state(f"s{n}")["state"] for n in range(5)} == {"available"}


def test_tags_pages_and_the_retry(used: World) -> None:
    asked = {"instanceName": "web", "instanceSnapshotName": "all", "invocation": "i-1"}
    first = used.call("CreateInstanceSnapshot", **asked, tags=[{"key": "a", "value": "b"}])
    again = used.call("CreateInstanceSnapshot", **asked, tags=[{"key": "a", "value": "b"}])
    assert again == first
    used.call("TagResource", resourceName="all", tags=[{"key": "c"}])
    assert used.instance_state("all")["tags"] == [
        {"key": "a", "value": "b"},
        {"key": "c", "value": None},
        {"key": "mooring:consistency", "value": "crash"},
    ]
    used.settle()
    listing = used.call("GetInstanceSnapshots")
    assert [one["name"] for one in listing["instanceSnapshots"]] == ["all"]
    assert listing["nextPageToken"] is None
