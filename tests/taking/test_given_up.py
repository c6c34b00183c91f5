"""Requests whose host stands still in their midst, is fenced, and wakes: nothing is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import OperationFailureException
from mooring.model.resources.host import Host
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """A host with the attached disk `data`, stored as `first`; another host, which has nothing."""
    world = World(catalog=Catalog(postgresql.url()))
    add_host(world, world.backend.host)
    world.disk()
    world.instance()
    world.attach()
    world.snapshot("first")
    world.settle()
    add_host(world, "beta")
    yield world
    world.close()


def add_host(world: World, name: str) -> None:
    with world.catalog.write() as transaction:
        transaction.hosts.begin(Host(id=name, name=name, zones=[ZONE]), 0)


def restored(world: World) -> None:
    """What an operator does meanwhile; and the other host, which has the disk then."""
    world.act("fence", hostName=world.backend.host, force=True)
    with world.catalog.write() as transaction:
        disk = transaction.disks.by_name(REGION, "data")
        assert disk is not None
        transaction.disks.change(disk.id, host="beta")


REQUESTS: dict[str, tuple[str, Callable[[World], Any]]] = {
    "snapshot": ("freeze", lambda world: world.snapshot("late")),
    "instance snapshot": ("freeze", lambda world: world.instance_snapshot("late")),
    "fork": ("fork", lambda world: world.act("fork", diskName="data", newDiskName="late")),
    "fork of an instance": (
        "fork",
        lambda world: world.act("fork-instance", instanceName="web", newInstanceName="late"),
    ),
    "revert": (
        "revert",
        lambda world: world.act("revert", diskName="data", diskSnapshotName="first"),
    ),
    "revert that keeps nothing": (
        "revert",
        partial(
            World.act, request="revert", diskName="data", diskSnapshotName="first", discard=True
        ),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_was_given_to_others_is_not_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    method, ask = REQUESTS[name]
    do = getattr(world.engine, method)

    def stand_still(*given: Any, **more: Any) -> Any:
        done = do(*given, **more)
        monkeypatch.undo()
        restored(world)
        before.append(rows(world))
        return done

    before: list[Any] = []
    monkeypatch.setattr(world.engine, method, stand_still)
    with pytest.raises(OperationFailureException, match="its host stood still and was fenced"):
        ask(world)
    assert before == [rows(world)]
    # Of what nobody was told nothing is left, which could neither be used nor deleted.
    assert [one["name"] for one in world.call("GetDisks")["disks"]] == ["data"]
    assert [one["name"] for one in world.call("GetInstances")["instances"]] == ["web"]


def rows(world: World) -> Any:
    """All that a request of a disk may change."""
    with world.catalog.read() as transaction:
        snapshots = world.call("GetDiskSnapshots")["diskSnapshots"]
        return (
            list(transaction.disks.all()),
            [(one["name"], one["state"]) for one in snapshots],
            transaction.jobs.all(),
            world.call("GetOperations")["operations"],
        )
