"""Requests that the catalog could not confirm are settled while the server goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from mooring.catalog.database import Catalog
from mooring.catalog.transaction import Transaction
from mooring.jobs.watching.held import HeldWatch
from tests.service.world import World

SECONDS = 30


class Cut(Catalog):
    """The next transactions that write, from one on, fail when they are to be committed."""

    left: int | None = None
    fails = 0

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        with super().write(durable=durable) as transaction:
            yield transaction
            if self.left is not None:
                self.left -= 1
                if self.left < 0 and self.fails:
                    self.fails -= 1
                    raise OperationalError("COMMIT", {}, Exception("the server closed it"))


@pytest.fixture
def world() -> Iterator[World]:
    """An instance with a disk, which holds something that is stored."""
    world = World(catalog=Cut("sqlite://"))
    world.disk()
    world.instance()
    world.attach()
    world.snapshot("first")
    world.settle()
    yield world
    world.close()


def fail(world: World, ask: Callable[[], Any]) -> None:
    """The request is recorded, and not confirmed."""
    assert isinstance(world.catalog, Cut)
    world.catalog.left, world.catalog.fails = 1, 1
    with pytest.raises(OperationalError):
        ask()
    world.catalog.left = None


def names(world: World, operation: str, what: str) -> list[str]:
    return [one["name"] for one in world.call(operation)[what]]


def test_a_snapshot_is_stored_and_those_after_it(world: World) -> None:
    watch = HeldWatch(world.backend)
    fail(world, lambda: world.snapshot("snap"))
    world.snapshot("next")
    world.settle()
    assert [world.state(name)["state"] for name in ("snap", "next")] == ["pending"] * 2

    watch.look()
    world.settle()
    assert world.state("next")["state"] == "pending", "it may have been recorded just now"
    watch.look()
    world.settle()
    assert [world.state(name)["state"] for name in ("snap", "next")] == ["completed"] * 2
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_one_that_was_neither_frozen_nor_taken_back_is_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("the disk cannot be frozen")

    before = world.engine.points(world.disk_id("data"))
    monkeypatch.setattr(world.engine, "freeze", refuse)
    assert isinstance(world.catalog, Cut)
    world.catalog.left, world.catalog.fails = 1, 1
    with pytest.raises(OSError, match="cannot be frozen"):
        world.snapshot("snap")
    world.catalog.left = None
    monkeypatch.undo()
    watch = HeldWatch(world.backend)
    watch.look()
    watch.look()
    assert names(world, "GetDiskSnapshots", "diskSnapshots") == ["first"]
    assert world.engine.points(world.disk_id("data")) == before


def test_a_fork_is_taken_back_and_what_it_held(world: World) -> None:
    for ask in (
        lambda: world.act("fork", diskName="data", newDiskName="more"),
        lambda: world.act("fork-instance", instanceName="web", newInstanceName="more"),
    ):
        watch, served = HeldWatch(world.backend), world.engine.served()
        fail(world, ask)
        watch.look()
        watch.look()
        assert names(world, "GetDisks", "disks") == ["data"]
        assert names(world, "GetInstances", "instances") == ["web"]
        assert world.engine.served() == served
        with world.catalog.read() as transaction:
            assert transaction.jobs.all() == []
        world.snapshot(f"after-{world.clock.now_ms()}")
        world.settle()
        world.clock.advance(1)
        assert len(world.engine.points(world.disk_id("data"))) == 1, "that of the snapshot"


def test_a_revert_that_was_done_is_confirmed(world: World) -> None:
    watch = HeldWatch(world.backend)
    fail(
        world,
        lambda: world.act(
            "revert", diskName="data", diskSnapshotName="first", keptSnapshotName="before"
        ),
    )
    watch.look()
    watch.look()
    world.settle()
    assert world.state("before")["state"] == "completed"


def test_what_is_under_way_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    freeze, watch = world.engine.freeze, HeldWatch(world.backend)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(SECONDS)
        return freeze(*given)

    monkeypatch.setattr(world.engine, "freeze", slowly)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(world.snapshot, "snap")
        assert begun.wait(SECONDS)
        for _ in range(3):
            watch.look()
        go_on.set()
        assert asked.result(SECONDS)["operations"]
    world.settle()
    assert world.state("snap")["state"] == "completed"
    assert world.backend.under_way.ids() == set()
