"""Forks of disks: usable with the answer, independent, incremental, and nothing left on failure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from mooring.jobs.automatic.due import take_due
from mooring.jobs.recover import recover
from mooring.model.access import Access, Role
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
    PointNotFoundError,
)
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from mooring.service.table import handlers
from tests.service.reverts import row
from tests.service.world import REGION, World

DATA, OTHER = b"d" * BLOCK_SIZE, b"o" * BLOCK_SIZE


@pytest.fixture
def world() -> World:
    world = World()
    world.disk()
    return world


def fork(world: World, name: str = "fork", **more: Any) -> Mapping[str, Any]:
    access = {"access": more.pop("access")} if "access" in more else {}
    context = Context(REGION, "AKIATEST", "request", more.pop("invocation", None), 0, **access)
    params = {"diskName": "data", "newDiskName": name, **more}
    return own_handlers(world.backend)["fork"](context, params)


def disk(world: World, name: str = "fork") -> Mapping[str, Any]:
    return dict(world.call("GetDisk", diskName=name)["disk"])


def points(world: World, name: str) -> list[str]:
    return list(world.engine.points(world.disk_id(name)))


def test_a_fork_can_be_used_when_it_is_answered(world: World) -> None:
    world.write(world.disk_id("data"), 0, DATA)

    answer = fork(world, tags=[{"key": "for", "value": "tests"}])
    world.write(world.disk_id("data"), 0, OTHER)

    assert [one["operationType"] for one in answer["operations"]] == ["ForkDisk"] * 2
    assert {one["status"] for one in answer["operations"]} == {"Succeeded"}
    found = disk(world)
    assert (found["state"], found["sizeInGb"]) == ("available", 8)
    assert found["tags"] == [{"key": "for", "value": "tests"}]
    assert world.read(world.disk_id("fork"), 0, BLOCK_SIZE) == DATA
    world.write(world.disk_id("fork"), BLOCK_SIZE, OTHER)
    assert world.read(world.disk_id("data"), 0, 2 * BLOCK_SIZE) == OTHER + bytes(BLOCK_SIZE)


def test_its_first_snapshot_stores_little_when_what_it_counts_from_is_gone(world: World) -> None:
    world.write(world.disk_id("data"), 0, DATA * 8)
    world.snapshot("before")
    world.settle()
    fork(world)
    world.settle()
    for name in ("soon", "late"):
        world.clock.advance(60)
        world.write(world.disk_id("data"), BLOCK_SIZE, OTHER)
        world.snapshot(name)
        world.settle()
    world.call("DeleteDiskSnapshot", diskSnapshotName="before")
    world.settle()

    world.write(world.disk_id("fork"), 32 * BLOCK_SIZE, OTHER * 2)
    world.snapshot("after", "fork")
    world.settle()

    after = row(world, "after")
    assert (after.parent_id, after.changed_bytes) == (row(world, "soon").id, 3 * BLOCK_SIZE)
    with world.vault.open(after.id) as image:
        assert image.read(0, 2 * BLOCK_SIZE) == DATA * 2


def test_its_first_snapshot_stores_what_differs_from_the_last_one_of_the_disk(
    world: World,
) -> None:
    world.write(world.disk_id("data"), 0, DATA * 8)
    world.snapshot("before")
    world.settle()
    world.write(world.disk_id("data"), 16 * BLOCK_SIZE, OTHER)

    fork(world)
    world.settle()
    world.write(world.disk_id("fork"), 32 * BLOCK_SIZE, OTHER * 2)
    world.snapshot("after", "fork")
    world.settle()

    with world.catalog.read() as transaction:
        after = transaction.snapshots.by_name(REGION, "after")
        before = transaction.snapshots.by_name(REGION, "before")
    assert after is not None
    assert before is not None
    assert after.parent_id == before.id
    assert after.changed_bytes == 3 * BLOCK_SIZE
    assert points(world, "fork") == [after.id]


def test_a_fork_may_be_larger(world: World) -> None:
    world.write(world.disk_id("data"), 0, DATA)
    world.snapshot("before")
    world.settle()

    fork(world, sizeInGb=16)

    assert disk(world)["sizeInGb"] == 16
    assert world.read(world.disk_id("fork"), 0, BLOCK_SIZE) == DATA
    end = 16 * GIB - BLOCK_SIZE
    assert world.read(world.disk_id("fork"), end, BLOCK_SIZE) == bytes(BLOCK_SIZE)
    world.write(world.disk_id("fork"), end, OTHER)
    world.settle()
    world.snapshot("after", "fork")
    world.settle()
    assert world.state("after")["sizeInGb"] == 16
    with world.catalog.read() as transaction:
        after = transaction.snapshots.by_name(REGION, "after")
    assert after is not None
    assert after.changed_bytes == BLOCK_SIZE


def test_a_fork_is_as_large_as_its_disk_was_before_the_catalog_knew(world: World) -> None:
    """The growth of the disk was not recorded: killed between the two."""
    world.engine.grow(world.disk_id("data"), 16 * GIB)

    fork(world)

    assert disk(world)["sizeInGb"] == 16


def test_the_same_instant_can_be_kept_as_a_snapshot(world: World) -> None:
    world.write(world.disk_id("data"), 0, DATA)

    answer = fork(world, diskSnapshotName="kept")
    world.write(world.disk_id("data"), 0, OTHER)
    assert [one["status"] for one in answer["operations"]] == ["Succeeded"] * 2 + ["Started"] * 2
    assert world.state("kept")["state"] == "pending"
    world.settle()

    assert world.state("kept")["state"] == "completed"
    image = world.vault.open(points(world, "fork")[0])
    assert image.read(0, BLOCK_SIZE) == DATA
    image.close()
    world.write(world.disk_id("fork"), 0, OTHER)
    world.snapshot("next", "fork")
    world.settle()
    with world.catalog.read() as transaction:
        following = transaction.snapshots.by_name(REGION, "next")
        kept = transaction.snapshots.by_name(REGION, "kept")
    assert following is not None
    assert kept is not None
    assert (following.parent_id, following.changed_bytes) == (kept.id, BLOCK_SIZE)


def test_forks_of_forks_and_deletions_in_between(world: World) -> None:
    world.write(world.disk_id("data"), 0, DATA)
    fork(world, "one")
    context = Context(REGION, "AKIATEST", "request", None, 0)
    own_handlers(world.backend)["fork"](context, {"diskName": "one", "newDiskName": "two"})
    world.call("DeleteDisk", diskName="one")
    world.settle()

    assert world.read(world.disk_id("two"), 0, BLOCK_SIZE) == DATA
    # The newest layer is never merged, so one name stays until the next freeze.
    assert len(points(world, "data")) == len(points(world, "two")) == 1


def test_a_fork_of_a_disk_that_is_being_filled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(world.disk_id("data"), 0, DATA)
    world.snapshot("snap")
    world.settle()

    def away(*_: object) -> None:
        raise EngineError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "fill", away)
        world.call(
            "CreateDiskFromSnapshot",
            diskName="clone",
            diskSnapshotName="snap",
            availabilityZone="us-east-2a",
            sizeInGb=8,
        )
        world.runner.drain()
        fork(world, diskName="clone")
    world.call("DeleteDisk", diskName="clone")
    world.call("DeleteDiskSnapshot", diskSnapshotName="snap")
    assert world.engine.filling(world.disk_id("fork")) is not None
    world.settle()

    assert world.engine.filling(world.disk_id("fork")) is None
    assert world.read(world.disk_id("fork"), 0, BLOCK_SIZE) == DATA
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_a_fork_that_is_deleted_at_once_holds_up_no_merges(world: World) -> None:
    for number in range(4):
        fork(world, f"fork{number}")
        world.call("DeleteDisk", diskName=f"fork{number}")
    world.settle()

    # The newest layer is never merged, so one name stays until the next freeze.
    assert len(points(world, "data")) == 1
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_asked_again_it_is_the_same_fork(world: World) -> None:
    first = fork(world, invocation="again")

    assert fork(world, invocation="again") == first
    assert len(world.call("GetDisks")["disks"]) == 2


def test_what_cannot_be_forked(world: World) -> None:
    with pytest.raises(NotFoundException):
        fork(world, diskName="none")
    with pytest.raises(InvalidInputException, match="already in use"):
        fork(world, "data")
    with pytest.raises(InvalidInputException, match="a fork is where its disk is"):
        fork(world, availabilityZone="us-east-2b")
    with pytest.raises(InvalidInputException, match="is not in the region us-east-2"):
        fork(world, availabilityZone="us-west-2a")
    world.disk("large", size=16)
    with pytest.raises(InvalidInputException, match="large has 16 GB, so a fork of it cannot"):
        fork(world, diskName="large", sizeInGb=8)
    with pytest.raises(InvalidInputException, match="must be between 8 and 16384 GB"):
        fork(world, sizeInGb=16385)
    with pytest.raises(InvalidInputException, match="a fork is where its disks are, here"):
        fork(world, tags=[{"key": "mooring:host", "value": "elsewhere"}])
    with pytest.raises(InvalidInputException, match="cannot have the same name"):
        fork(world, "same", diskSnapshotName="same")
    with pytest.raises(InvalidInputException, match="newDiskName is required"):
        own_handlers(world.backend)["fork"](
            Context(REGION, "AKIATEST", "request", None, 0), {"diskName": "data"}
        )
    world.call("CreateDisk", diskName="fresh", availabilityZone="us-east-2a", sizeInGb=8)
    refusal = "can't fork this disk right now. The state of this disk is: pending"
    with pytest.raises(OperationFailureException, match=refusal):
        fork(world, "late", diskName="fresh")


def test_a_fork_does_not_wait_for_snapshots(world: World) -> None:
    """However long the first of the add-on takes, and however many are pending."""
    world.call("EnableAddOn", resourceName="data", addOnRequest={"addOnType": "AutoSnapshot"})
    world.clock.advance(24 * 3600)
    assert take_due(world.backend) == 1
    with pytest.raises(InvalidInputException, match="is being created"):
        fork(world, diskSnapshotName="kept")

    fork(world)
    world.settle()
    for number in range(5):
        world.snapshot(f"snap{number}")
    with pytest.raises(InvalidInputException, match="5 pending snapshots, which is the limit"):
        fork(world, "second", diskSnapshotName="kept")

    fork(world, "second")


@pytest.mark.parametrize("step", ["freeze", "fork"])
def test_a_fork_that_fails_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise EngineError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, step, fail)
        with pytest.raises(OperationFailureException, match="data could not be forked: no room"):
            fork(world, diskSnapshotName="kept")

    with world.catalog.read() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["data"]
        assert not transaction.snapshots.all()
        assert not transaction.jobs.all()
    fork(world, diskSnapshotName="kept")
    world.settle()
    assert world.state("kept")["state"] == "completed"


def test_a_fork_is_not_deleted_while_it_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.engine.fork

    def meddle(*what: Any) -> int:
        with pytest.raises(OperationFailureException, match="fork is being made right now"):
            world.call("DeleteDisk", diskName="fork")
        world.runner.drain()
        return int(made(*what))

    monkeypatch.setattr(world.engine, "fork", meddle)
    fork(world, diskSnapshotName="kept")
    world.call("DeleteDisk", diskName="fork")
    world.settle()

    assert world.state("kept")["state"] == "completed"


@pytest.mark.parametrize("kept", [None, "kept"])
@pytest.mark.parametrize("moment", ["before the freeze", "after the freeze", "after the fork"])
def test_a_server_killed_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str, kept: str | None
) -> None:
    """The client had no answer: the fork is taken back, and a frozen snapshot is kept."""
    world.write(world.disk_id("data"), 0, DATA)
    freeze, made = world.engine.freeze, world.engine.fork

    def killed_freezing(wanted: Mapping[str, str]) -> None:
        if moment == "after the freeze":
            freeze(wanted)
        raise KeyboardInterrupt

    def killed_forking(*what: Any) -> None:
        made(*what)
        raise KeyboardInterrupt

    more = {} if kept is None else {"diskSnapshotName": kept}
    with monkeypatch.context() as patch:
        if moment == "after the fork":
            patch.setattr(world.engine, "fork", killed_forking)
        else:
            patch.setattr(world.engine, "freeze", killed_freezing)
        # A real kill leaves no time to take the request back.
        patch.setattr("mooring.taking.forking.attempt", lambda *_: nullcontext())
        with pytest.raises(KeyboardInterrupt):
            fork(world, **more)

    recover(world.backend)
    world.settle()

    with world.catalog.read() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["data"]
        assert transaction.jobs.all() == []
        found = [(one.name, one.state) for one in transaction.snapshots.all()]
    frozen = moment != "before the freeze"
    assert found == ([("kept", "completed")] if kept and frozen else [])
    fork(world)
    world.settle()
    assert world.read(world.disk_id("fork"), 0, BLOCK_SIZE) == DATA


def made_of(world: World, snapshot: str, name: str = "made", **more: Any) -> Mapping[str, Any]:
    place = {"availabilityZone": "us-east-2a", "sizeInGb": 8, **more}
    return world.call("CreateDiskFromSnapshot", diskName=name, diskSnapshotName=snapshot, **place)


def test_pending_snapshots_make_no_disks_unless_the_settings_say_so(world: World) -> None:
    world.snapshot("snap")

    with pytest.raises(OperationFailureException, match=r"is: pending. .* mooring fork; .*= true"):
        made_of(world, "snap")
    world.settle()
    made_of(world, "snap")


@pytest.fixture
def allowing(world: World) -> World:
    world.backend = replace(world.backend, disks_of_pending=True)
    world._handlers = handlers(world.backend)
    return world


def test_a_disk_of_a_pending_snapshot_can_be_used_at_once(allowing: World) -> None:
    world = allowing
    world.write(world.disk_id("data"), 0, DATA)
    world.snapshot("snap")
    world.write(world.disk_id("data"), 0, OTHER)

    answer = made_of(world, "snap", sizeInGb=16)

    (operation,) = answer["operations"]
    assert (operation["operationType"], operation["status"]) == (
        "CreateDiskFromSnapshot",
        "Succeeded",
    )
    found = disk(world, "made")
    assert (found["state"], found["sizeInGb"]) == ("available", 16)
    assert world.read(world.disk_id("made"), 0, BLOCK_SIZE) == DATA
    world.write(world.disk_id("made"), 2 * BLOCK_SIZE, OTHER)
    world.call("DeleteDisk", diskName="data")
    world.settle()
    assert world.state("snap")["state"] == "completed"
    world.snapshot("next", "made")
    world.settle()
    with world.catalog.read() as transaction:
        following = transaction.snapshots.by_name(REGION, "next")
        snap = transaction.snapshots.by_name(REGION, "snap")
        assert transaction.jobs.all() == []
    assert following is not None
    assert snap is not None
    assert (following.parent_id, following.changed_bytes) == (snap.id, BLOCK_SIZE)


def test_pending_snapshots_of_which_no_disk_is_made(
    allowing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = allowing
    world.snapshot("snap")
    with pytest.raises(OperationFailureException, match="in us-east-2a only, where its content is"):
        made_of(world, "snap", availabilityZone="us-east-2b")
    with pytest.raises(InvalidInputException, match="already in use"):
        made_of(world, "snap", "data")

    def stored(*_: object) -> None:
        raise PointNotFoundError("merged")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "fork", stored)
        with pytest.raises(OperationFailureException, match="was stored, or deleted, just now"):
            made_of(world, "snap")
    with world.catalog.read() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["data"]
    world.call("DeleteDiskSnapshot", diskSnapshotName="snap")
    world.settle()
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_a_pending_snapshot_of_before_a_revert_is_waited_for(allowing: World) -> None:
    world = allowing
    world.snapshot("first")
    world.settle()
    world.snapshot("snap")
    world.act("revert", diskName="data", diskSnapshotName="first", discard=True)

    with pytest.raises(OperationFailureException, match="reverted since, wait until"):
        made_of(world, "snap")


def test_a_pending_snapshot_is_deleted_after_a_disk_was_made_of_it(allowing: World) -> None:
    world = allowing
    world.write(world.disk_id("data"), 0, DATA)
    world.snapshot("snap")
    made_of(world, "snap")

    world.call("DeleteDiskSnapshot", diskSnapshotName="snap")
    world.settle()

    assert world.read(world.disk_id("made"), 0, BLOCK_SIZE) == DATA
    world.snapshot("own", "made")
    world.settle()
    assert world.state("own")["state"] == "completed"


def test_a_server_killed_while_it_makes_a_disk_of_a_pending_snapshot(
    allowing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = allowing
    world.write(world.disk_id("data"), 0, DATA)
    world.snapshot("snap")
    made = world.engine.fork

    def killed(*what: Any) -> None:
        made(*what)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "fork", killed)
        patch.setattr("mooring.taking.forking.attempt", lambda *_: nullcontext())
        with pytest.raises(KeyboardInterrupt):
            made_of(world, "snap")

    recover(world.backend)
    with world.catalog.read() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["data"]
    world.settle()
    assert world.state("snap")["state"] == "completed"


def test_who_is_bound_to_tags_reaches_the_snapshot_of_the_same_instant(world: World) -> None:
    bound = Access("red", Role.OPERATOR, {"team": "red"})
    tags = [{"key": "team", "value": "red"}]
    world.call("TagResource", resourceName="data", tags=tags)

    fork(world, access=bound, tags=tags, diskSnapshotName="snap")

    assert tags[0] in world.state("snap")["tags"]
    world.settle()
    world.call("DeleteDiskSnapshot", diskSnapshotName="snap", access=bound)
