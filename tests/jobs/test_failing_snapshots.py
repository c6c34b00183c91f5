"""Snapshots that fail: what the API says, and that the next is right."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from mooring.model.errors import (
    DamageError,
    DiskFullError,
    EngineError,
    InvalidInputException,
    LayerDamagedError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job_kind import JobKind
from tests.service.test_snapshots import restore
from tests.service.test_vault_questions import ask
from tests.service.world import World

FAILURES = [
    (DiskFullError("no room for disk data: free some space"), "DiskFull", "no room"),
    (LayerDamagedError("layer 000002 is missing"), "LayerDamaged", "layer 000002 is missing"),
    (EngineError("layer 000002: Input/output error"), "Engine", "Input/output error"),
    (DamageError("segment 17 is damaged"), "Damage", "segment 17"),
    (OSError(errno.EIO, os.strerror(errno.EIO)), "InputOutput", "Input/output error"),
]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.mark.parametrize(("error", "code", "told"), FAILURES)
def test_what_the_api_says_of_a_snapshot_that_failed(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, told: str
) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, os.urandom(BLOCK_SIZE))

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "open_point", fail)
        world.snapshot("first")
        # Longer than any failure is waited for.
        world.settle(seconds=600)

    assert world.state("first")["state"] == "error"
    operation = world.operations("first")[0]
    assert (operation["status"], operation["errorCode"]) == ("Failed", code)
    assert told in operation["errorDetails"]
    check_the_next(world, disk_id)
    assert len(world.engine.points(disk_id)) == 1, "the frozen point was not released"


def test_want_of_room_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_id = world.disk()
    world.write(disk_id, 0, os.urandom(BLOCK_SIZE))
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise DiskFullError("no room")

        patch.setattr(world.engine, "open_point", fail)
        world.snapshot("first")
        world.settle(seconds=60)
        assert world.state("first")["state"] == "pending"
        assert ask(world, "snapshot", diskSnapshotName="first")["problem"] == "no room"

    world.settle(seconds=60)
    assert ask(world, "snapshot", diskSnapshotName="first")["problem"] is None

    assert world.state("first")["state"] == "completed"
    check_the_next(world, disk_id)


def check_the_next(world: World, disk_id: str) -> None:
    """A snapshot taken now completes, and holds what is on the disk."""
    world.write(disk_id, 2 * BLOCK_SIZE, os.urandom(BLOCK_SIZE))
    expected = world.read(disk_id, 0, 4 * BLOCK_SIZE)
    world.snapshot("next")
    world.settle()
    assert world.state("next")["state"] == "completed"
    assert world.read(restore(world, "next"), 0, 4 * BLOCK_SIZE) == expected


def test_one_pending_snapshot_too_many(world: World) -> None:
    world.disk()
    world.disk("other")
    for number in range(5):
        world.snapshot(f"s{number}")

    with pytest.raises(InvalidInputException, match="data has 5 pending snapshots") as caught:
        world.snapshot("s5")

    assert caught.value.code == "PendingSnapshotLimitExceeded"
    world.snapshot("of-another-disk", disk="other")
    world.settle()
    world.snapshot("s5")
    world.settle()
    assert {world.state(f"s{number}")["state"] for number in range(6)} == {"completed"}


def test_many_disks_share_the_jobs_fairly(world: World) -> None:
    disks = [f"disk-{number}" for number in range(6)]
    for disk in disks:
        world.disk(disk)
    for number in range(3):
        for disk in disks:
            world.snapshot(f"{disk}-{number}", disk=disk)
    with world.catalog.read() as transaction:
        waiting = {job.id: job.key for job in transaction.jobs.all()}
    taken: list[str] = []
    with world.catalog.write() as transaction:
        now = world.clock.now_ms()
        while (job := transaction.jobs.take("me", list(JobKind), now, 1000, [])) is not None:
            taken.append(waiting[job.id])

    assert sorted(taken) == sorted(set(waiting.values())), "one disk has two jobs under way"
