"""A job that another server has taken is given up here, not recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from mooring.catalog.database import Catalog
from mooring.catalog.tables.jobs import Jobs
from mooring.engine.memory import MemoryEngine
from mooring.jobs.running import leases, progress
from mooring.jobs.running.runner import Runner
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.vault.vault import Root
from mooring.vault.writing.writer import SnapshotWriter
from tests.service.world import World

STORE = (JobKind.UPLOAD_SNAPSHOT, "store")
RELEASE = (JobKind.DELETE_SNAPSHOT, "release")
DELETE = (JobKind.DELETE_SNAPSHOT, "delete")
SECONDS = 30


class Thief:
    """Takes a job for another server, at one moment of one step."""

    def __init__(self, step: tuple[JobKind, str], moment: str) -> None:
        self._at: tuple[JobKind, str, str] | None = (*step, moment)
        self.kind = step[0]
        self.catalog: Catalog | None = None
        self.seen: list[tuple[str, str]] = []
        self.lost: threading.Event | None = None
        self.then: Callable[[], None] = lambda: None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if job.kind is self.kind:
            self.seen.append((step, moment))
        if (job.kind, step, moment) == self._at:
            self._at = None
            self.steal(job.id)
            self.then()
            if self.lost is not None:
                assert self.lost.wait(SECONDS)

    def steal(self, job_id: str) -> None:
        """As a server whose clock says that the lease has ended."""
        assert self.catalog is not None
        with self.catalog.write() as transaction:
            found = transaction.jobs.take("you", list(JobKind), 10**15, 1, ())
        assert found is not None
        assert found.id == job_id


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    worlds: list[World] = []
    yield worlds
    for world in worlds:
        world.close()


def make(worlds: list[World], thief: Thief) -> World:
    world = World(thief)
    worlds.append(world)
    thief.catalog = world.catalog
    world.write(world.disk(), 0, bytes([1]) * BLOCK_SIZE)
    world.snapshot("snap")
    if thief.kind is JobKind.DELETE_SNAPSHOT:
        world.settle()
        world.call("DeleteDiskSnapshot", diskSnapshotName="snap")
    return world


def left(world: World) -> Job:
    with world.catalog.read() as transaction:
        (found,) = transaction.jobs.all()
    return found


@pytest.mark.parametrize("step", [STORE, RELEASE, DELETE])
def test_a_job_taken_meanwhile_is_given_up(worlds: list[World], step: tuple[JobKind, str]) -> None:
    kind, name = step
    thief = Thief(step, "done")
    world = make(worlds, thief)

    with capture_logs() as logs:
        world.runner.drain()

    assert thief.seen[-1] == (name, "done"), "it went on"
    assert PROCEDURES[kind].steps[left(world).step].name == name, "it was recorded"
    if kind is JobKind.UPLOAD_SNAPSHOT:
        assert world.state("snap")["state"] == "pending"
    errors = [one["event"] for one in logs if one["log_level"] == "error"]
    assert errors == ["a job is given up here"]


def test_a_failing_job_taken_meanwhile_is_not_undone(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = Thief(STORE, "begin")
    world = make(worlds, thief)

    def fail(*_: object) -> None:
        raise EngineError("the engine is in a bad mood")

    monkeypatch.setattr(MemoryEngine, "open_point", fail)
    world.runner.drain()

    assert thief.seen == [("store", "begin")]
    found = left(world)
    assert (found.attempts, found.error_details, found.undoing) == (0, None, False)


def test_who_wakes_in_a_step_records_no_progress_and_stores_nothing(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it tells how far it is or not: the root is what others would see."""
    monkeypatch.setattr(progress, "INTERVAL", -1.0)
    thief = Thief(STORE, "begin")
    world = make(worlds, thief)
    before = world.state("snap")

    world.runner.drain()

    assert world.state("snap") == before
    assert list(world.vault.snapshot_ids()) == []
    assert (left(world).attempts, left(world).undoing) == (0, False)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_root_that_comes_after_the_lease_stays_only_if_it_is_wanted(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """As when a server stands still just before it writes the root, and wakes much later."""
    thief = Thief(STORE, "never")
    world = make(worlds, thief)
    commit = SnapshotWriter.commit

    def late(self: SnapshotWriter) -> Root:
        thief.steal(left(world).id)
        if deleted:
            world.call("DeleteDiskSnapshot", diskSnapshotName="snap")
        return commit(self)

    monkeypatch.setattr(SnapshotWriter, "commit", late)
    with capture_logs() as logs:
        world.runner.drain()

    assert len(list(world.vault.snapshot_ids())) == (0 if deleted else 1)
    assert [one["event"] for one in logs if one["log_level"] == "error"] == [
        "a job is given up here"
    ]


def test_who_stood_still_asks_before_the_next_step(worlds: list[World]) -> None:
    """The thread that renews leases has not been told yet."""
    thief = Thief(RELEASE, "recorded")
    world = make(worlds, thief)
    thief.then = lambda: world.clock.advance(leases.LEASE_MS / 1000 + 10)

    world.runner.drain()

    assert thief.seen[-1] == ("release", "recorded"), "the next step was begun"


def test_a_lease_that_cannot_be_renewed_ends_the_work(
    worlds: list[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Already before the next step begins, which might do what the other server does, too."""
    monkeypatch.setattr(leases, "LEASE_MS", 60)
    thief = Thief(RELEASE, "recorded")
    thief.lost = threading.Event()
    world = make(worlds, thief)
    renew, refused = Jobs.renew, list[bool]()

    def seen(self: Jobs, *given: Any) -> set[str]:
        lost = renew(self, *given)
        refused.append(bool(lost))
        # By the second time the first is known to the runner.
        if refused.count(True) == 2 and thief.lost is not None:
            thief.lost.set()
        return lost

    monkeypatch.setattr(Jobs, "renew", seen)
    only_leases = Runner(
        world.backend,
        PROCEDURES,
        quick_threads=0,
        bulk_threads=0,
        filling_threads=0,
        deleting_threads=0,
        observer=thief,
    )
    only_leases.start()
    only_leases.drain()
    only_leases.stop()

    assert thief.seen[-1] == ("release", "recorded"), "the next step was begun"
