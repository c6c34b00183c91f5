"""Reverts that are refused, fail, or end with the server: nothing is left or lost."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.engine.interface import Source
from mooring.jobs.recover import recover
from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    EngineError,
    InvalidInputException,
    LayerDamagedError,
    NotFoundException,
    OperationFailureException,
    StoreError,
)
from mooring.model.extents import BLOCK_SIZE
from tests.service.reverts import NOW, THEN, held, nothing_left, revert, row, stored, world
from tests.service.world import World

__all__ = ["world"]


def test_what_cannot_be_reverted(world: World) -> None:
    with pytest.raises(NotFoundException):
        revert(world, diskName="none")
    with pytest.raises(NotFoundException):
        revert(world, "none")
    with pytest.raises(InvalidInputException, match="diskSnapshotName is required"):
        revert(world, "")
    with pytest.raises(InvalidInputException, match="kept, or given up"):
        revert(world, keptSnapshotName="kept", discard=True)
    with pytest.raises(InvalidInputException, match="already in use"):
        revert(world, keptSnapshotName="data")
    world.snapshot("pending")
    with pytest.raises(OperationFailureException, match="state of this snapshot is: pending"):
        revert(world, "pending")
    world.disk("other")
    world.snapshot("foreign", "other")
    world.settle()
    with pytest.raises(InvalidInputException, match="is of other, and disks are reverted to"):
        revert(world, "foreign")
    world.call("CreateDisk", diskName="fresh", availabilityZone="us-east-2a", sizeInGb=8)
    with pytest.raises(OperationFailureException, match="state of this disk is: pending"):
        revert(world, diskName="fresh")
    assert held(world) == NOW + THEN


@pytest.mark.parametrize("error", [EngineError("no room"), LayerDamagedError("gone")], ids=str)
def test_a_revert_that_fails_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "revert", fail)
        with pytest.raises(OperationFailureException, match="data could not be reverted") as told:
            revert(world, keptSnapshotName="kept")

    assert ("--discard" in str(told.value)) == isinstance(error, LayerDamagedError)
    nothing_left(world)
    assert held(world) == NOW + THEN
    revert(world, keptSnapshotName="kept")
    world.settle()
    assert stored(world, "kept") == NOW + THEN


def test_vault_that_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise StoreError("the vault is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.vault, "root", away)
        with pytest.raises(OperationFailureException, match="the vault is away"):
            revert(world)

    nothing_left(world)
    assert held(world) == NOW + THEN


@pytest.mark.parametrize("discard", [False, True])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_server_killed_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_done: bool, discard: bool
) -> None:
    """The client had no answer: what was done is confirmed, and nothing is done afterwards."""
    done = world.engine.revert

    def killed(disk_id: str, source: Source, point_id: str, **named: Any) -> None:
        if is_done:
            done(disk_id, source, point_id, **named)
        raise KeyboardInterrupt

    more = {"discard": True} if discard else {"keptSnapshotName": "kept"}
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "revert", killed)
        # A real kill leaves no time to take the request back.
        patch.setattr("mooring.taking.reverting.settle", lambda *_: False)
        with pytest.raises(KeyboardInterrupt):
            revert(world, **more)

    recover(world.backend)
    world.settle()

    assert held(world) == (THEN * 2 if is_done else NOW + THEN)
    nothing_left(world)
    names = [one["name"] for one in world.call("GetDiskSnapshots")["diskSnapshots"]]
    assert names == (["then", "kept"] if is_done and not discard else ["then"])
    if "kept" in names:
        assert stored(world, "kept") == NOW + THEN
    assert world.engine.filling(world.disk_id("data")) is None
    revert(world, keptSnapshotName="later")
    world.settle()
    assert held(world) == THEN * 2


def test_two_reverts_that_nobody_confirmed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full catalog: what both left is stored after the next start."""

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mooring.taking.reverting.confirm", fail)
        for number in (1, 2):
            world.write(world.disk_id("data"), BLOCK_SIZE, bytes([number]) * BLOCK_SIZE)
            with pytest.raises(KeyboardInterrupt):
                revert(world, keptSnapshotName=f"kept-{number}")

    recover(world.backend)
    world.settle()

    assert held(world) == THEN * 2
    assert stored(world, "kept-1") == NOW + b"\1" * BLOCK_SIZE
    assert stored(world, "kept-2") == THEN + b"\2" * BLOCK_SIZE
    nothing_left(world)


def test_deleted_while_what_it_held_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise EngineError("not now")

    then = row(world, "then").id
    revert(world, keptSnapshotName="kept")
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "open_point", away)
        world.call("DeleteDisk", diskName="data")
        world.settle(20)
        with world.catalog.read() as transaction:
            # What is left of the disk may still be read from it.
            assert transaction.jobs.is_read(then)
    world.settle()

    assert stored(world, "kept") == NOW + THEN
    nothing_left(world)


def test_who_is_bound_to_tags(world: World) -> None:
    bound = Access("red", Role.OPERATOR, {"team": "red"})
    with pytest.raises(AccessDeniedException):
        revert(world, access=bound)
    tags = [{"key": "team", "value": "red"}]
    world.call("TagResource", resourceName="data", tags=tags)
    with pytest.raises(AccessDeniedException):
        revert(world, access=bound)
    world.call("TagResource", resourceName="then", tags=tags)

    revert(world, access=bound, keptSnapshotName="kept")

    assert tags[0] in world.state("kept")["tags"]
    world.settle()
    revert(world, "kept", access=bound)
    assert held(world) == NOW + THEN
