"""The runner's threads look when there is something, and only those that could run it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mooring.catalog.tables.jobs import Jobs
from mooring.jobs.running import retry, runner
from mooring.jobs.running.lane import Lane
from mooring.jobs.table import PROCEDURES
from mooring.model.errors import VaultAwayError
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import BULK, FILLING, JobKind
from mooring.model.traffic import Traffic
from tests.service.world import REGION, World

SECONDS, WEST = 30, "us-west-2"


class Ended:
    """Counts the jobs that have ended, by kind."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kinds: list[JobKind] = []

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if (step, moment) == (PROCEDURES[job.kind].steps[-1].name, "recorded"):
            with self._changed:
                self._kinds.append(job.kind)
                self._changed.notify_all()

    def wait(self, kind: JobKind, times: int = 1) -> None:
        assert self.within(SECONDS, kind, times)

    def within(self, seconds: float, kind: JobKind, times: int = 1) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._kinds.count(kind) == times, seconds)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    # Nothing that these tests wait for comes by looking now and then.
    monkeypatch.setattr(runner, "POLL_SECONDS", 600.0)
    return Ended()


@pytest.fixture
def world(ended: Ended) -> Iterator[World]:
    world = World(ended)
    world.runner.start()
    yield world
    world.runner.stop()
    world.close()


def create(world: World, name: str) -> None:
    world.call("CreateDisk", diskName=name, availabilityZone="us-east-2a", sizeInGb=8)


def test_jobs_run_as_soon_as_they_are_recorded(world: World, ended: Ended) -> None:
    create(world, "one")
    ended.wait(JobKind.CREATE_DISK)

    assert world.call("GetDisk", diskName="one")["disk"]["state"] == "available"


def test_the_next_of_a_line_runs_when_the_one_before_has_ended(world: World, ended: Ended) -> None:
    create(world, "one")
    ended.wait(JobKind.CREATE_DISK)
    for number in range(3):
        world.snapshot(f"snapshot-{number}", "one")
    world.call("DeleteDisk", diskName="one")

    ended.wait(JobKind.UPLOAD_SNAPSHOT, 3)
    ended.wait(JobKind.DELETE_DISK)


def test_only_threads_for_jobs_of_that_kind_look(
    world: World, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(world, "one")
    ended.wait(JobKind.CREATE_DISK)
    looked: list[JobKind] = []
    take = Jobs.take

    def seen(self: Jobs, owner: str, kinds: list[JobKind], *rest: object) -> Job | None:
        looked.extend(kinds)
        return take(self, owner, kinds, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Jobs, "take", seen)
    create(world, "two")
    ended.wait(JobKind.CREATE_DISK, 2)

    assert JobKind.CREATE_DISK in looked
    assert not (BULK | FILLING) & set(looked)


def test_news_that_comes_while_a_thread_looks_is_not_missed() -> None:
    lane = Lane("quick", [JobKind.CREATE_DISK], 1)
    before = lane.news

    lane.tell(1)  # nobody sleeps yet

    sleeper = threading.Thread(target=lane.sleep, args=(600.0, before), daemon=True)
    sleeper.start()
    sleeper.join(SECONDS)
    assert not sleeper.is_alive()


def test_jobs_that_move_data_let_requests_go_first(
    world: World, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GIVE_WAY_SECONDS", 600.0)
    create(world, "one")
    ended.wait(JobKind.CREATE_DISK)  # this moves none

    with world.traffic.request():
        world.snapshot("first", "one")
        assert not ended.within(0.3, JobKind.UPLOAD_SNAPSHOT)
    ended.wait(JobKind.UPLOAD_SNAPSHOT)


def test_no_job_gives_way_for_long(world: World, ended: Ended) -> None:
    create(world, "one")
    ended.wait(JobKind.CREATE_DISK)

    with world.traffic.request():
        world.snapshot("first", "one")
        ended.wait(JobKind.UPLOAD_SNAPSHOT)


def snapshots(world: World, region: str, number: int) -> list[str]:
    """The names of those of a new disk."""
    name, zone = f"of-{region}", f"{region}a"
    world.call("CreateDisk", region=region, diskName=name, availabilityZone=zone, sizeInGb=8)
    taken = [f"{name}-{each}" for each in range(number)]
    for one in taken:
        world.settle()
        world.call("CreateDiskSnapshot", region=region, diskName=name, diskSnapshotName=one)
    world.settle()
    return taken


def delete(world: World, region: str, taken: list[str]) -> None:
    """Delete snapshots; nothing of it is done yet."""
    for one in taken:
        world.call("DeleteDiskSnapshot", region=region, diskSnapshotName=one)


def test_what_can_be_done_does_not_wait_behind_what_cannot(ended: Ended) -> None:
    tried: set[str] = set()

    def observe(job: Job, step: str, moment: str) -> None:
        ended(job, step, moment)
        if (job.kind, moment) == (JobKind.DELETE_SNAPSHOT, "begin"):
            tried.add(job.id)
            # To try them all takes longer than each of them waits.
            clock.advance(retry.AWAY_SECONDS)

    def away(_operation: str, _name: str) -> None:
        raise VaultAwayError("the vault is away")

    world = World(observe)
    clock = world.clock
    there, elsewhere = snapshots(world, REGION, 10), snapshots(world, WEST, 1)
    world.ways[REGION].before = away
    delete(world, REGION, there)
    delete(world, WEST, elsewhere)
    try:
        world.runner.start()
        ended.wait(JobKind.DELETE_SNAPSHOT)
        assert until(lambda: len(tried) == 11)
    finally:
        world.runner.stop()
        world.close()


def test_no_disk_waits_for_a_vault_that_does_not_answer(ended: Ended) -> None:
    world, answers = World(ended), threading.Event()
    world.disk()
    world.instance()
    delete(world, REGION, snapshots(world, REGION, 4))
    world.ways[REGION].before = lambda _operation, _name: answers.wait(2 * SECONDS)
    world.call("AttachDisk", diskName="data", instanceName="web", diskPath="/dev/xvdf")
    try:
        world.runner.start()
        ended.wait(JobKind.ATTACH_DISK)
        assert world.call("GetDisk", diskName="data")["disk"]["isAttached"]
        answers.set()
        ended.wait(JobKind.DELETE_SNAPSHOT, 4)
    finally:
        answers.set()
        world.runner.stop()
        world.close()


def until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_traffic_is_over_when_the_last_request_is() -> None:
    traffic = Traffic()
    passed = threading.Event()

    def pass_by() -> None:
        traffic.give_way(600.0)
        passed.set()

    with traffic.request():
        with traffic.request():
            threading.Thread(target=pass_by, daemon=True).start()
        assert not passed.wait(0.1)
    assert passed.wait(SECONDS)
    traffic.give_way(600.0)
