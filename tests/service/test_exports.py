"""Exports: snapshots into image files, whatever happens on the way."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.jobs.recover import recover
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import NotFoundException, OperationFailureException
from mooring.model.extents import BLOCK_SIZE, GIB, Buffer
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from mooring.vault.reading.reader import SnapshotReader
from tests.service.test_instance_snapshots import PATHS
from tests.service.test_snapshots import content
from tests.service.world import REGION, World

DATA = content(7, blocks=8)
MOMENTS = [
    (step.name, moment)
    for step in PROCEDURES[JobKind.EXPORT_SNAPSHOT].steps
    for moment in ("begin", "done", "recorded")
]


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


class Killer:
    """Kills once, at one moment of the export."""

    at: tuple[str, str] | None = None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if job.kind is JobKind.EXPORT_SNAPSHOT and (step, moment) == self.at:
            self.at = None
            raise Killed


@pytest.fixture
def killer() -> Killer:
    return Killer()


@pytest.fixture
def world(tmp_path: Path, killer: Killer) -> Iterator[World]:
    """With an instance of two disks, a snapshot `one` of the first and one `all` of both."""
    world = World(killer, tmp_path / "exports")
    world.instance()
    for name, path in PATHS.items():
        world.disk(name)
        world.attach(name, path=path)
        world.engine.write(world.disk_id(name), 5 * BLOCK_SIZE, DATA)
    world.snapshot("one")
    world.instance_snapshot("all")
    world.settle()
    yield world
    world.close()


def export(world: World, name: str) -> Mapping[str, Any]:
    return world.call("ExportSnapshot", sourceSnapshotName=name)


def record(world: World) -> Mapping[str, Any]:
    """The newest."""
    found = world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]
    return dict(found[-1])


def check(file: Path) -> None:
    assert file.stat().st_size == 8 * GIB
    assert file.stat().st_blocks * 512 < GIB
    with file.open("rb") as opened:
        assert opened.read(5 * BLOCK_SIZE + len(DATA)) == bytes(5 * BLOCK_SIZE) + DATA
        assert opened.read(BLOCK_SIZE) == bytes(BLOCK_SIZE)


def left(world: World) -> list[str]:
    folder = world.backend.image_files / REGION
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def test_of_a_disk_it_is_one_file(world: World) -> None:
    made, source = export(world, "one")["operations"]

    assert made["resourceType"] == "ExportSnapshotRecord"
    assert (made["operationDetails"], made["status"]) == ("one", "Started")
    assert (source["resourceType"], source["resourceName"]) == ("DiskSnapshot", "one")
    assert source["operationDetails"] == made["resourceName"]
    started = record(world)
    assert (started["name"], started["state"]) == (made["resourceName"], "Started")
    assert left(world) == []
    world.settle()
    found = record(world)
    assert found["state"] == "Succeeded"
    assert found["sourceInfo"]["fromResourceName"] == "data"
    assert found["sourceInfo"]["diskSnapshotInfo"] == {"sizeInGb": 8}
    file = Path(found["destinationInfo"]["id"])
    assert left(world) == [file.name]
    assert file.name.startswith("one-")
    check(file)
    assert world.operations("one")[0]["status"] == "Succeeded"


def test_of_an_instance_it_is_a_file_for_each_disk(world: World) -> None:
    export(world, "all")
    world.settle()

    found = record(world)
    info = found["sourceInfo"]["instanceSnapshotInfo"]
    assert {one["name"]: one["path"] for one in info["fromDiskInfo"]} == PATHS
    folder = Path(found["destinationInfo"]["id"])
    assert sorted(one.name for one in folder.iterdir()) == ["data.raw", "logs.raw"]
    for name in PATHS:
        check(folder / f"{name}.raw")
    assert left(world) == [folder.name]


def test_the_progress_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (made, _) = export(world, "all")["operations"]
    name = made["resourceName"]
    told: list[int] = []
    read = SnapshotReader.read

    def ask() -> Mapping[str, Any]:
        context = Context(REGION, "AKIATEST", "request", None, 0)
        question = own_handlers(world.backend)["export-record"]
        return question(context, {"exportSnapshotRecordName": name})

    def watched(reader: SnapshotReader, offset: int, length: int) -> Buffer:
        told.append(ask()["progress"])
        world.clock.advance(1.0)
        return read(reader, offset, length)

    monkeypatch.setattr(SnapshotReader, "read", watched)
    world.settle()

    # Of two disks one is written; what the time has not moved on for is not told.
    assert told == [0, 25]
    assert (ask()["progress"], ask()["state"]) == (100, "Succeeded")
    assert ask()["destination"] == record(world)["destinationInfo"]["id"]


def test_twice_makes_two(world: World) -> None:
    export(world, "one")
    export(world, "one")
    world.settle()

    assert len(left(world)) == 2
    names = [one["name"] for one in world.call("GetExportSnapshotRecords")["exportSnapshotRecords"]]
    assert len(set(names)) == 2


@pytest.mark.parametrize("snapshot", ["one", "all"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_is_completed(
    world: World, killer: Killer, moment: tuple[str, str], snapshot: str
) -> None:
    killer.at = moment
    export(world, snapshot)
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    found = record(world)
    assert found["state"] == "Succeeded"
    place = Path(found["destinationInfo"]["id"])
    assert left(world) == [place.name]
    for file in place.iterdir() if snapshot == "all" else [place]:
        check(file)
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_without_room_it_waits_and_then_fails_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwrite", full)
    export(world, "all")
    world.settle(seconds=30)
    assert record(world)["state"] == "Started"

    world.settle(seconds=600)

    assert record(world)["state"] == "Failed"
    newest = world.operations("all")[0]
    assert (newest["status"], newest["errorCode"]) == ("Failed", "DiskFull")
    assert left(world) == []


def test_a_damaged_snapshot_is_not_exported(world: World) -> None:
    world.damage()
    export(world, "one")
    world.settle()

    assert record(world)["state"] == "Failed"
    assert "is damaged in bytes" in world.operations("one")[0]["errorDetails"]
    assert left(world) == []


def test_a_snapshot_deleted_meanwhile_is_there_until_it_is_exported(world: World) -> None:
    export(world, "all")
    world.call("DeleteInstanceSnapshot", instanceSnapshotName="all")
    world.settle()

    folder = Path(record(world)["destinationInfo"]["id"])
    for name in PATHS:
        check(folder / f"{name}.raw")
    assert len(list(world.vault.snapshot_ids())) == 1


def test_what_cannot_be_asked_for(world: World) -> None:
    with pytest.raises(NotFoundException, match="The snapshot does not exist: nope"):
        export(world, "nope")
    with pytest.raises(NotFoundException, match="The snapshot does not exist: data"):
        export(world, "data")
    for ask, name in ((world.snapshot, "young"), (world.instance_snapshot, "young-all")):
        ask(name)
        with pytest.raises(OperationFailureException, match="state of this snapshot is: pending"):
            export(world, name)
    assert world.call("GetExportSnapshotRecords")["exportSnapshotRecords"] == []


def test_a_name_that_is_too_long_for_a_file(world: World) -> None:
    name = "x" * 255
    world.snapshot(name)
    world.settle()
    export(world, name)
    world.settle()

    check(Path(record(world)["destinationInfo"]["id"]))
