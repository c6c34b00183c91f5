"""Snapshots made from images that are served over NBD."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.backend.import_places import MOST_OFFERED, OFFERED_SECONDS
from mooring.jobs.recover import recover
from mooring.jobs.table import PROCEDURES
from mooring.model.access import UNBOUND, Access, Role
from mooring.model.errors import InvalidInputException, ServiceError
from mooring.model.extents import GIB, Extent
from mooring.model.operation import OperationStatus
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.engine.served_image import NAME, ServedImage
from tests.nbd.exports import SparseImage
from tests.service.test_snapshots import restore
from tests.service.world import REGION, World

MIB = 1024 * 1024
MOMENTS = [
    (step.name, moment)
    for step in PROCEDURES[JobKind.IMPORT_SNAPSHOT].steps
    for moment in ("begin", "done", "recorded")
]


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


class Killer:
    """Kills once, at one moment of the import; `then` happens at the same time."""

    def __init__(self) -> None:
        self.at: tuple[str, str] | None = None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if job.kind is JobKind.IMPORT_SNAPSHOT and (step, moment) == self.at:
            self.at = None
            raise Killed


@pytest.fixture
def image() -> SparseImage:
    return SparseImage(9 * MIB)


@pytest.fixture
def place(world: World) -> dict[str, str]:
    """A place that the server has offered."""
    return offered(world)


@pytest.fixture
def served(image: SparseImage, place: dict[str, str]) -> Iterator[ServedImage]:
    served = serve(image, place)
    yield served
    served.close()


def serve(image: SparseImage, place: dict[str, str]) -> ServedImage:
    return ServedImage(image, Path(place["folder"], place["socket"]), place["export"])


@pytest.fixture
def killer() -> Killer:
    return Killer()


@pytest.fixture
def world(killer: Killer, run_dir: Path) -> Iterator[World]:
    world = World(killer, imports=run_dir / "imports")
    yield world
    world.close()


def question(
    world: World, name: str, params: Mapping[str, Any], access: Access = UNBOUND
) -> dict[str, Any]:
    context = Context(REGION, "AKIATEST", "r", "invocation", world.clock.now_ms(), access)
    return dict(own_handlers(world.backend)[name](context, params))


def offered(world: World, access: Access = UNBOUND) -> dict[str, str]:
    return question(world, "import-place", {}, access)


def ask(world: World, at: dict[str, str], access: Access = UNBOUND, **other: Any) -> dict[str, Any]:
    params = {"diskSnapshotName": "moved", "place": at["place"], "sizeInGb": 8, **other}
    return question(world, "import", params, access)


def check_content(world: World, image: SparseImage) -> None:
    disk_id = restore(world, "moved", "copy")
    assert world.read(disk_id, 0, image.size) == image.content
    assert world.read(disk_id, image.size, MIB) == bytes(MIB)


def nothing_left(world: World) -> None:
    with world.catalog.read() as transaction:
        assert not transaction.snapshots.all()
        assert not transaction.names.taken(REGION, ["moved"])
    assert not list(world.vault.snapshot_ids())


def test_import(
    world: World, image: SparseImage, served: ServedImage, place: dict[str, str]
) -> None:
    answer = ask(world, place)

    (operation,) = answer["operations"]
    assert operation["operationType"] == "ImportDiskSnapshot"
    assert operation["status"] is OperationStatus.STARTED
    assert world.state("moved")["state"] == "pending"
    assert ask(world, place) == answer  # as a client that lost the answer
    world.settle()
    shown = world.state("moved")
    assert shown["state"] == "completed"
    assert shown["sizeInGb"] == 8
    assert "fromDiskName" not in shown
    assert "fromDiskArn" not in shown
    assert world.operations("moved")[0]["status"] == "Succeeded"
    served.pause()
    check_content(world, image)


def test_tags(world: World, served: ServedImage, place: dict[str, str]) -> None:
    tags = [{"key": "keep", "value": "1"}, {"key": "team", "value": "storage"}]
    ask(world, place, tags=tags)
    assert world.state("moved")["tags"] == tags
    with pytest.raises(InvalidInputException, match="reserved"):
        ask(world, place, diskSnapshotName="other", tags=[{"key": "aws:x"}])


def test_a_snapshot_of_a_disk_made_from_it_is_incremental(
    world: World, served: ServedImage, place: dict[str, str]
) -> None:
    ask(world, place)
    world.settle()
    disk_id = restore(world, "moved", "copy")
    world.write(disk_id, MIB, b"x" * 4096)
    world.snapshot("next", "copy")
    world.settle()
    with world.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_name(REGION, "next")
        origin = transaction.snapshots.by_name(REGION, "moved")
    assert snapshot is not None
    assert origin is not None
    assert snapshot.parent_id == origin.id
    assert snapshot.changed_bytes == 4096


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_it_completes(
    moment: tuple[str, str],
    world: World,
    killer: Killer,
    image: SparseImage,
    served: ServedImage,
    place: dict[str, str],
) -> None:
    killer.at = moment
    ask(world, place)
    with pytest.raises(Killed):
        world.settle()
    recover(world.backend)
    world.settle()
    assert world.state("moved")["state"] == "completed"
    check_content(world, image)


@pytest.mark.parametrize("moment", [one for one in MOMENTS if one[0] == "store"][:1])
def test_nothing_is_left_when_the_image_goes(
    moment: tuple[str, str],
    world: World,
    killer: Killer,
    served: ServedImage,
    place: dict[str, str],
) -> None:
    killer.at = moment
    ask(world, place)
    with pytest.raises(Killed):
        world.settle()
    served.pause()
    recover(world.backend)
    world.settle()
    nothing_left(world)
    with world.catalog.read() as transaction:
        (operation,) = transaction.operations.page(REGION, None, 9, "moved")[0]
    assert operation.status is OperationStatus.FAILED
    assert "is no longer served" in str(operation.error_details)


def test_nothing_is_left_of_what_cannot_be_read(
    world: World, image: SparseImage, served: ServedImage, place: dict[str, str]
) -> None:
    image.fail_at = image.filled[-1]
    ask(world, place)
    world.settle()
    nothing_left(world)
    with world.catalog.read() as transaction:
        (operation,) = transaction.operations.page(REGION, None, 9, "moved")[0]
    assert operation.error_code == "ImageUnreadable"
    assert "the medium is worn out" in str(operation.error_details)


class HangingImage(SparseImage):
    """Nobody is told what it holds before the event, as of a file on storage that hangs."""

    def __init__(self) -> None:
        super().__init__(9 * MIB)
        self.goes_on = threading.Event()

    def extents(self) -> Iterator[Extent]:
        self.goes_on.wait()
        yield from super().extents()


def test_an_image_that_hangs_does_not_keep_the_thread_of_its_job(
    world: World, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mooring.jobs.import_snapshot.READ_SECONDS", 0.1)
    image = HangingImage()
    served = serve(image, place)
    # Else the job would wait for ever.
    end = threading.Timer(20, image.goes_on.set)
    end.start()
    try:
        ask(world, place)
        world.settle()
    finally:
        end.cancel()
        image.goes_on.set()
        served.close()
    nothing_left(world)
    with world.catalog.read() as transaction:
        (operation,) = transaction.operations.page(REGION, None, 9, "moved")[0]
    assert "does not answer" in str(operation.error_details)


def test_deleting_cancels(world: World, served: ServedImage, place: dict[str, str]) -> None:
    ask(world, place)
    world.call("DeleteDiskSnapshot", diskSnapshotName="moved")
    world.settle()
    nothing_left(world)


def test_what_cannot_be_imported(
    world: World,
    served: ServedImage,
    place: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sizeInGb": 7}, "between 8 and 16384 GB"),
        ({"sizeInGb": -8}, "between 8 and 16384 GB"),
        ({"sizeInGb": None}, "sizeInGb is required"),
        ({"diskSnapshotName": ""}, "diskSnapshotName is required"),
        ({"place": "a\nb"}, "No such folder"),
    ]
    for other, match in cases:
        with pytest.raises(ServiceError, match=match):
            ask(world, place, **other)
    nothing_left(world)
    image = SparseImage(4096, filled=0)
    image._size = 9 * GIB
    other_place = offered(world)
    large = serve(image, other_place)
    try:
        with pytest.raises(InvalidInputException, match="more than 8 GB"):
            ask(world, other_place)
    finally:
        large.close()
    world.disk("moved")
    with pytest.raises(ServiceError, match="moved"):
        ask(world, place)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(InvalidInputException, match="is another user's"):
        ask(world, place, diskSnapshotName="others")


def test_the_server_reads_from_no_other_place(
    world: World, image: SparseImage, run_dir: Path
) -> None:
    """Whatever a caller names, it is never a socket that was there before."""
    foreign = ServedImage(image, run_dir / "foreign")
    try:
        for params in (
            {"socket": str(run_dir / "foreign"), "export": NAME},
            {"place": str(run_dir / "foreign")},
            {"place": "../foreign"},
            {"place": "foreign"},
            {"place": "/etc/passwd"},
            {"place": ""},
        ):
            with pytest.raises(InvalidInputException) as caught:
                question(world, "import", {"diskSnapshotName": "xx", "sizeInGb": 8, **params})
            # Nothing is told of what is there and what is not.
            assert "place is required" in caught.value.message or (
                "No such folder" in caught.value.message
            )
    finally:
        foreign.close()
    nothing_left(world)


def test_a_place_is_for_one_user_and_one_import(
    world: World, served: ServedImage, place: dict[str, str]
) -> None:
    mallory = Access("mallory", Role.OPERATOR)
    with pytest.raises(InvalidInputException, match="No such folder"):
        ask(world, place, mallory)
    ask(world, place)
    with pytest.raises(InvalidInputException, match="No such folder"):
        ask(world, place, diskSnapshotName="again")
    late = offered(world)
    world.clock.advance(OFFERED_SECONDS + 1)
    with pytest.raises(InvalidInputException, match="it has expired"):
        ask(world, late, diskSnapshotName="late")


def test_a_place_is_private_and_goes_when_nobody_serves_there(
    world: World, served: ServedImage, place: dict[str, str]
) -> None:
    folder = Path(place["folder"])
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    unused = Path(offered(world)["folder"])
    world.clock.advance(OFFERED_SECONDS + 1)
    offered(world)
    assert not unused.exists()
    assert folder.exists()  # served still, as of an import that takes long
    served.pause()
    offered(world)
    assert not folder.exists()


def test_places_are_bounded(world: World) -> None:
    for _ in range(MOST_OFFERED):
        offered(world)
    with pytest.raises(InvalidInputException, match="which is the limit"):
        offered(world)
    offered(world, Access("olga", Role.OPERATOR))
    world.clock.advance(OFFERED_SECONDS + 1)
    offered(world)
