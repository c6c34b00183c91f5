"""Jobs: every step failing in turn, and the server dying at every moment."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mooring.catalog.transaction import Transaction
from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.jobs.running.procedure import Change, Step, Work
from mooring.jobs.running.runner import Runner
from mooring.jobs.schedule import Schedule, Task
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.disk import DiskState
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import MoveDisks, ReplicateVault, VerifyVault
from mooring.model.resources.job_kind import JobKind
from tests.nbd.exports import SparseImage
from tests.service.reverts import revert
from tests.service.test_forks import fork
from tests.service.test_growth import grow
from tests.service.test_imports import ask as import_image
from tests.service.test_imports import offered
from tests.service.test_imports import serve as serve_image
from tests.service.test_snapshots import restore
from tests.service.world import World

MOMENTS = [
    (step.name, moment)
    for step in PROCEDURES[JobKind.UPLOAD_SNAPSHOT].steps
    for moment in ("begin", "done", "recorded")
]

SCHEDULED = [
    Task(arguments=VerifyVault(percent=100), first_seconds=0, every_seconds=3600),
    Task(arguments=ReplicateVault(), first_seconds=0, every_seconds=3600),
]


DO, RECORD = "do", "record"
"""The parts of a step that can fail."""


class Killed(BaseException):
    """Ends the job's thread as a kill would end the server."""


class Killer:
    """Kills once, at one moment of the upload."""

    def __init__(self) -> None:
        self.at: tuple[str, str] | None = None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if job.kind is JobKind.UPLOAD_SNAPSHOT and (step, moment) == self.at:
            self.at = None
            raise Killed


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_snapshot_completes(moment: tuple[str, str]) -> None:
    killer = Killer()
    world = World(killer)
    disk_id = world.disk()
    data = os.urandom(3 * BLOCK_SIZE)
    world.write(disk_id, 0, data)
    killer.at = moment
    world.snapshot("first")
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    assert world.state("first")["state"] == "completed"
    assert world.operations("first")[0]["status"] == "Succeeded"
    world.write(disk_id, BLOCK_SIZE, data[:BLOCK_SIZE])
    world.snapshot("next")
    world.settle()
    assert world.read(restore(world, "first", "r1"), 0, len(data)) == data
    assert world.read(restore(world, "next", "r2"), 0, len(data)) == (
        world.read(disk_id, 0, len(data))
    )
    world.close()


@pytest.mark.parametrize("released", [False, True])
def test_killed_when_the_root_is_durable_the_snapshot_completes(
    released: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    disk_id = world.disk()
    data = os.urandom(3 * BLOCK_SIZE)
    world.write(disk_id, 0, data)
    world.snapshot("first")
    release = world.engine.release

    def die(disk: str, point: str, *, stored: bool) -> None:
        if released:
            release(disk, point, stored=stored)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "release", die)
        with pytest.raises(Killed):
            world.settle()
    assert len(list(world.vault.snapshot_ids())) == 1
    assert world.state("first")["state"] == "pending"

    recover(world.backend)
    world.settle()

    assert world.state("first")["state"] == "completed"
    world.snapshot("next")
    world.settle()
    assert world.read(restore(world, "first", "r1"), 0, len(data)) == data
    assert world.read(restore(world, "next", "r2"), 0, len(data)) == data
    world.close()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_instance_snapshot_completes(moment: tuple[str, str]) -> None:
    killer = Killer()
    world = World(killer)
    world.instance()
    contents = {}
    for name, path in (("data", "/dev/xvdf"), ("logs", "/dev/xvdg")):
        world.disk(name)
        world.attach(name, path=path)
        contents[name] = os.urandom(3 * BLOCK_SIZE)
        world.engine.write(world.disk_id(name), 0, contents[name])
    killer.at = moment
    world.instance_snapshot("all")
    with pytest.raises(Killed):
        world.settle()

    recover(world.backend)
    world.settle()

    assert world.instance_state("all")["state"] == "available"
    assert world.operations("all")[0]["status"] == "Succeeded"
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        parts = transaction.instance_snapshots.all()[0].parts
    for part in parts:
        with world.vault.open(part.id) as reader:
            assert reader.read(0, 3 * BLOCK_SIZE) == contents[part.disk_name]
    world.close()


def steps() -> list[tuple[JobKind, str]]:
    return [(kind, step.name) for kind, proc in PROCEDURES.items() for step in proc.steps]


def take_automatic(world: World) -> None:
    """Of the disk that has an automatic snapshot every hour."""
    world.clock.advance(3600)
    assert take_due(world.backend) == 1


def expire_automatic(world: World) -> None:
    """The one of `take_automatic`, when the next is stored, before it is a leap of the clock."""
    world.clock.advance(3600)
    take_automatic(world)


def move(world: World, name: str, snapshot: str) -> None:
    """As to this host from one that is lost; the file's server does what any host would do."""
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name("us-east-2", name)
        stored = transaction.snapshots.by_name("us-east-2", snapshot)
        assert disk is not None
        assert stored is not None
        transaction.disks.change(disk.id, host="lost", state=DiskState.PENDING)
        arguments = MoveDisks(
            instance="", disks=(disk.id,), snapshots=(stored.id,), source="lost", lost=True
        )
        job = Job(
            id=f"move {disk.id}",
            key=disk.id,
            region=disk.region,
            zone=disk.zone,
            created_ms=world.clock.now_ms(),
            arguments=arguments,
        )
        transaction.jobs.add(job)


def run_everything(world: World) -> None:
    """Each kind of job at least once; errors of the requests themselves do not matter here."""
    hourly = [{"key": "mooring:snapshots", "value": "hourly keep 1 hour"}]
    for ask in (
        lambda: Schedule(world.backend, SCHEDULED).look(),
        lambda: world.call(
            "CreateDisk", diskName="data", availabilityZone="us-east-2a", sizeInGb=8
        ),
        world.instance,
        world.attach,
        lambda: world.snapshot("first"),
        lambda: grow(world, "data", 9),
        lambda: fork(world),
        lambda: world.call("TagResource", resourceName="data", tags=hourly),
        lambda: take_automatic(world),
        lambda: expire_automatic(world),
        lambda: world.call(
            "CreateDiskFromSnapshot",
            diskName="copy",
            diskSnapshotName="first",
            availabilityZone="us-east-2a",
            sizeInGb=8,
        ),
        lambda: world.instance_snapshot("all"),
        lambda: world.call(
            "CopySnapshot",
            sourceRegion="us-east-2",
            sourceSnapshotName="first",
            targetSnapshotName="twice",
        ),
        lambda: world.call(
            "CreateInstancesFromSnapshot",
            instanceNames=["again"],
            instanceSnapshotName="all",
            availabilityZone="us-east-2a",
            bundleId="external",
        ),
        lambda: world.call("ExportSnapshot", sourceSnapshotName="all"),
        lambda: world.call("RebootInstance", instanceName="web"),
        lambda: world.call(
            "CopySnapshot",
            sourceRegion="us-east-2",
            sourceSnapshotName="all",
            targetSnapshotName="all-twice",
        ),
        lambda: revert(world, "first"),
        lambda: world.call("StopInstance", instanceName="web"),
        lambda: world.call("StartInstance", instanceName="web"),
        lambda: world.call("DetachDisk", diskName="data"),
        lambda: move(world, "copy", "first"),
        lambda: world.call("DeleteDiskSnapshot", diskSnapshotName="first"),
        lambda: world.call("DeleteInstance", instanceName="web"),
        lambda: world.call("DeleteDisk", diskName="copy"),
    ):
        ask()
        world.settle()


@pytest.mark.parametrize("part", [DO, RECORD])
@pytest.mark.parametrize(("kind", "name"), steps())
def test_a_step_that_fails_once_is_tried_again(
    kind: JobKind,
    name: str,
    part: str,
    monkeypatch: pytest.MonkeyPatch,
    run_dir: Path,
    tmp_path: Path,
) -> None:
    failures = fail(monkeypatch, kind, name, times=1, part=part)
    world = World(image_files=tmp_path, imports=run_dir / "imports")
    if kind is JobKind.IMPORT_SNAPSHOT:
        place = offered(world)
        with closing(serve_image(SparseImage(BLOCK_SIZE), place)):
            import_image(world, place)
            world.settle()
    else:
        run_everything(world)

    assert failures == [1]
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        operations, _ = transaction.operations.page("us-east-2", None, 1000)
    assert {operation.status for operation in operations} == {"Succeeded"}
    world.close()


@pytest.mark.parametrize("part", [DO, RECORD])
@pytest.mark.parametrize(
    ("kind", "resource", "wanted"),
    [
        (JobKind.CREATE_DISK, "data", "error"),
        (JobKind.ATTACH_DISK, "data", "available"),
        (JobKind.UPLOAD_SNAPSHOT, "first", "error"),
    ],
)
def test_a_step_that_always_fails_is_undone_and_told(
    kind: JobKind, resource: str, wanted: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = PROCEDURES[kind].steps[0].name
    world = World()
    if kind is not JobKind.CREATE_DISK:
        world.disk()
        world.instance()
    fail(monkeypatch, kind, name, times=1000, part=part)
    if kind is JobKind.CREATE_DISK:
        world.disk()
    elif kind is JobKind.ATTACH_DISK:
        world.attach()
    else:
        world.snapshot("first")
    world.settle()

    newest = world.operations(resource)[0]
    assert (newest["status"], newest["errorCode"]) == ("Failed", "Engine")
    assert newest["errorDetails"] == "the engine is in a bad mood"
    if resource == "data":
        assert world.call("GetDisk", diskName="data")["disk"]["state"] == wanted
    else:
        assert world.state("first")["state"] == wanted
        assert list(world.vault.snapshot_ids()) == []
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    world.close()


def test_a_failure_that_cannot_be_recorded_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.disk()
    world.instance()
    fail(monkeypatch, JobKind.ATTACH_DISK, PROCEDURES[JobKind.ATTACH_DISK].steps[0].name, 1000)

    def refuse(_transaction: Transaction, _job: Job) -> None:
        raise ValueError("the tide is out")

    failing = replace(PROCEDURES[JobKind.ATTACH_DISK], failed=refuse)
    monkeypatch.setitem(PROCEDURES, JobKind.ATTACH_DISK, failing)
    world.attach()
    world.settle()

    newest = world.operations("data")[0]
    assert newest["status"] == "Failed"
    assert newest["errorDetails"] == (
        "the engine is in a bad mood; and this could not be recorded: the tide is out"
    )
    # The next job of that key has its turn.
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
    world.close()


def fail(
    monkeypatch: pytest.MonkeyPatch, kind: JobKind, name: str, times: int, part: str = DO
) -> list[int]:
    """Let what a step does, or what it records, fail so many times; the list says how often."""
    count = [0]
    procedure = PROCEDURES[kind]

    def fails() -> None:
        if count[0] < times:
            count[0] += 1
            raise EngineError("the engine is in a bad mood")

    def wrap(step: Step) -> Step:
        if step.name != name:
            return step

        def do(work: Work) -> Change:
            if part == DO:
                fails()
            change = step.do(work)

            def record(transaction: Transaction) -> None:
                if change is not None:
                    change(transaction)
                if part == RECORD:
                    fails()

            return record

        return Step(step.name, do, step.undo)

    changed = type(procedure)(procedure.kind, tuple(map(wrap, procedure.steps)), procedure.failed)
    monkeypatch.setitem(PROCEDURES, kind, changed)
    return count


def test_a_snapshot_recorded_but_not_frozen_is_taken_back_at_the_next_start() -> None:
    world = World()
    world.disk()

    def die(_points: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.engine, "freeze", die)
        # A real kill leaves no time to take the request back.
        patch.setattr("mooring.taking.recording.take_back", lambda *_: None)
        with pytest.raises(Killed):
            world.snapshot("first")

    recover(world.backend)

    assert world.call("GetActiveNames")["activeNames"] == ["data"]
    world.snapshot("first")
    world.settle()
    assert world.state("first")["state"] == "completed"
    world.close()


def test_a_snapshot_frozen_but_not_confirmed_is_completed_at_the_next_start() -> None:
    world = World()
    disk_id = world.disk()
    data = os.urandom(BLOCK_SIZE)
    world.write(disk_id, 0, data)
    freeze = world.engine.freeze

    def freeze_and_die(points: dict[str, str]) -> None:
        freeze(points)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.engine, "freeze", freeze_and_die)
        patch.setattr("mooring.taking.recording.take_back", lambda *_: None)
        with pytest.raises(Killed):
            world.snapshot("first")
    world.write(disk_id, 0, bytes(BLOCK_SIZE))

    recover(world.backend)
    world.settle()

    assert world.state("first")["state"] == "completed"
    assert world.read(restore(world, "first"), 0, BLOCK_SIZE) == data
    world.close()


def test_a_job_of_a_newer_program_waits_for_that() -> None:
    world = World()
    world.disk()
    world.snapshot("snap")
    with world.catalog.write() as transaction:
        (job,) = transaction.jobs.all()
        transaction.jobs.remove(job)
        transaction.jobs.add(replace(job, version=2, not_before_ms=0))

    world.settle()

    assert world.state("snap")["state"] == "pending"
    with world.catalog.read() as transaction:
        (left,) = transaction.jobs.all()
    assert "is of version 2 of its procedure, and this program knows 1" in str(left.error_details)
    assert (left.step, left.undoing) == (0, False)
    newer = {job.kind: replace(PROCEDURES[job.kind], version=2)}
    world.clock.advance(61)
    Runner(world.backend, newer).drain()
    assert world.state("snap")["state"] == "completed"
