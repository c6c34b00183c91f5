"""Forks of instances: all disks at one instant, usable with the answer, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest

from mooring.jobs.recover import recover
from mooring.jobs.watching.held import HeldWatch
from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.world import REGION, World

DATA, OTHER = b"d" * BLOCK_SIZE, b"o" * BLOCK_SIZE
PATHS = {"data": "/dev/xvdf", "logs": "/dev/xvdg"}


@pytest.fixture
def world() -> World:
    """An instance with two disks, each with a block of its own."""
    world = World()
    world.instance()
    for name, path in PATHS.items():
        world.disk(name)
        world.attach(name, "web", path)
        world.engine.write(world.disk_id(name), 0, name[:1].encode() * BLOCK_SIZE)
    return world


def fork(world: World, name: str = "twin", **more: Any) -> Mapping[str, Any]:
    access = {"access": more.pop("access")} if "access" in more else {}
    context = Context(REGION, "AKIATEST", "request", more.pop("invocation", None), 0, **access)
    params = {"instanceName": "web", "newInstanceName": name, **more}
    return own_handlers(world.backend)["fork-instance"](context, params)


def names(world: World) -> tuple[list[str], list[str]]:
    with world.catalog.read() as transaction:
        disks = [one.name for one in transaction.disks.all()]
        return disks, [one.name for one in transaction.instances.all()]


def test_all_disks_are_there_at_once_under_the_same_paths(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    freezes: list[Mapping[str, str]] = []
    freeze = world.engine.freeze

    def counted(points: Mapping[str, str]) -> Any:
        freezes.append(points)
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", counted)

    answer = fork(world, tags=[{"key": "for", "value": "tests"}])
    for name in PATHS:
        world.engine.write(world.disk_id(name), 0, OTHER)

    assert [len(points) for points in freezes] == [2]
    assert answer["disks"] == [
        {"diskName": f"twin-{name}", "sourceDiskName": name, "diskPath": path}
        for name, path in PATHS.items()
    ]
    assert [(one["operationType"], one["resourceName"]) for one in answer["operations"]] == [
        ("ForkInstance", "twin"),
        ("ForkInstance", "web"),
        ("ForkDisk", "twin-data"),
        ("ForkDisk", "twin-logs"),
    ]
    assert {one["status"] for one in answer["operations"]} == {"Succeeded"}
    found = world.call("GetInstance", instanceName="twin")["instance"]
    assert found["state"]["name"] == "running"
    assert found["tags"] == [{"key": "for", "value": "tests"}]
    assert found["blueprintId"] == "external"
    for name, path in PATHS.items():
        disk = world.call("GetDisk", diskName=f"twin-{name}")["disk"]
        assert (disk["state"], disk["attachedTo"], disk["path"]) == ("in-use", "twin", path)
        made = world.disk_id(f"twin-{name}")
        assert world.engine.read(made, 0, BLOCK_SIZE) == name[:1].encode() * BLOCK_SIZE
    world.settle()
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


def test_a_stopped_instance_has_a_running_fork(world: World) -> None:
    world.call("StopInstance", instanceName="web")
    world.settle()

    fork(world)

    made = world.disk_id("twin-data")
    assert world.engine.read(made, 0, BLOCK_SIZE) == b"d" * BLOCK_SIZE
    world.call("StopInstance", instanceName="twin")
    world.settle()
    world.call("StartInstance", instanceName="twin")
    world.settle()
    assert world.engine.read(made, 0, BLOCK_SIZE) == b"d" * BLOCK_SIZE


def test_a_fork_of_this_host_has_block_devices(world: World) -> None:
    world.instance("here", blueprint="host")
    world.disk("local")
    world.attach("local", "here", "/dev/xvdf")

    fork(world, instanceName="here")

    assert world.devices.device(world.disk_id("twin-local")) is not None


def test_the_same_instant_can_be_kept_as_a_snapshot(world: World) -> None:
    answer = fork(world, instanceSnapshotName="kept")
    world.engine.write(world.disk_id("data"), 0, OTHER)
    assert [one["status"] for one in answer["operations"]] == ["Succeeded"] * 4 + ["Started"] * 2
    world.settle()

    state = world.instance_state("kept")
    assert state["state"] == "available"
    with world.catalog.read() as transaction:
        whole = transaction.instance_snapshots.by_name(REGION, "kept")
    assert whole is not None
    image = world.vault.open(whole.parts[0].id)
    assert image.read(0, BLOCK_SIZE) == b"d" * BLOCK_SIZE
    image.close()
    # What the fork stores first is counted from there.
    world.engine.write(world.disk_id("twin-data"), 0, OTHER)
    world.snapshot("next", "twin-data")
    world.settle()
    with world.catalog.read() as transaction:
        following = transaction.snapshots.by_name(REGION, "next")
    assert following is not None
    assert (following.parent_id, following.changed_bytes) == (whole.parts[0].id, BLOCK_SIZE)


def test_names_do_not_grow_with_each_fork(world: World) -> None:
    fork(world)
    again = fork(world, "again", instanceName="twin")
    assert [one["diskName"] for one in again["disks"]] == ["again-data", "again-logs"]
    world.disk("twin-more")
    world.disk("more")
    world.attach("twin-more", "twin", "/dev/xvdh")
    world.attach("more", "twin", "/dev/xvdi")

    # Unless two would be called the same.
    other = fork(world, "other", instanceName="twin")

    names = [one["diskName"] for one in other["disks"]]
    assert names == ["other-twin-data", "other-twin-logs", "other-twin-more", "other-more"]


def test_asked_again_it_is_the_same_fork(world: World) -> None:
    first = fork(world, invocation="again")

    assert fork(world, invocation="again") == first
    assert len(names(world)[0]) == 4


def test_what_cannot_be_forked(world: World) -> None:
    with pytest.raises(NotFoundException):
        fork(world, instanceName="none")
    with pytest.raises(InvalidInputException, match="a fork is where its disks are, here"):
        fork(world, tags=[{"key": "mooring:host", "value": "elsewhere"}])
    with pytest.raises(InvalidInputException, match="already in use"):
        fork(world, "data")
    with pytest.raises(InvalidInputException, match="same name: both are to be called twin-data"):
        fork(world, instanceSnapshotName="twin-data")
    with pytest.raises(InvalidInputException, match="cannot have the same name"):
        fork(world, "same", instanceSnapshotName="same")
    with pytest.raises(InvalidInputException, match="Choose a shorter newInstanceName"):
        fork(world, "n" * 251)
    world.disk("twin-logs")
    with pytest.raises(InvalidInputException, match="already in use: twin-logs"):
        fork(world)
    world.instance("empty")
    with pytest.raises(InvalidInputException, match="empty has no disks"):
        fork(world, "other", instanceName="empty")
    world.call("StopInstance", instanceName="web")
    with pytest.raises(OperationFailureException, match="state of this instance is: stopping"):
        fork(world, "other")


def test_a_key_needs_all_the_disks(world: World) -> None:
    tags = [{"key": "team", "value": "blue"}]
    access = Access("blue", Role.OPERATOR, {"team": "blue"})
    for name in ("web", "data"):
        world.call("TagResource", resourceName=name, tags=tags)

    with pytest.raises(AccessDeniedException, match="all disks attached to the instance"):
        fork(world, tags=tags, access=access)
    world.call("TagResource", resourceName="logs", tags=tags)
    with pytest.raises(AccessDeniedException, match="must give the tags"):
        fork(world, access=access)
    fork(world, tags=tags, access=access)

    for name in ("twin-data", "twin-logs"):
        assert world.call("GetDisk", diskName=name, access=access)["disk"]["tags"] == tags


@pytest.mark.parametrize("step", ["freeze", "fork", "attach"])
def test_a_fork_that_fails_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever was made of it when the second disk fails."""
    real = getattr(world.engine, step)
    calls = 0

    def fail(*what: Any) -> Any:
        nonlocal calls
        calls += 1
        if step == "freeze" or calls > 1:
            raise EngineError("no room")
        return real(*what)

    before = names(world)
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, step, fail)
        with pytest.raises(OperationFailureException, match="web could not be forked: no room"):
            fork(world, instanceSnapshotName="kept")

    assert names(world) == before
    with world.catalog.read() as transaction:
        assert not transaction.instance_snapshots.all()
        assert not transaction.jobs.all()
    assert len(world.engine.descriptions()) <= 2
    fork(world, instanceSnapshotName="kept")
    world.settle()
    assert world.instance_state("kept")["state"] == "available"


@pytest.mark.parametrize("step", ["fork", "attach"])
def test_a_fork_of_this_host_that_fails_while_somebody_looks_at_a_device(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As udev does with each that is new; it cannot be taken away then."""
    world.instance("here", blueprint="host")
    for name, path in PATHS.items():
        world.disk(f"local-{name}")
        world.attach(f"local-{name}", "here", path)
    before = world.engine.disks()
    attach, real = world.devices.attach, getattr(world.engine, step)
    calls = 0

    def used_at_once(disk_id: str, uri: str) -> str:
        world.devices.mounts[disk_id] = "/somewhere"
        return attach(disk_id, uri)

    def fail(*what: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise EngineError("no room")
        return real(*what)

    with monkeypatch.context() as patch:
        patch.setattr(world.devices, "attach", used_at_once)
        patch.setattr(world.engine, step, fail)
        with pytest.raises(OperationFailureException, match="no room"):
            fork(world, instanceName="here")

    # Points that nobody needs hold up no merges, whatever could not be removed.
    world.snapshot("next", "local-data")
    world.settle()
    assert len(world.engine.points(world.disk_id("local-data"))) == 1
    # What could not be removed is once it can be.
    world.devices.mounts.clear()
    watch = HeldWatch(world.backend)
    watch.look()
    watch.look()
    assert world.engine.disks() == before
    fork(world, instanceName="here")


KILLS = [("freeze", 0), ("freeze", 1), ("fork", 1), ("fork", 2), ("attach", 1), ("attach", 2)]
"""What the server is killed after, and after how many of them."""


@pytest.mark.parametrize("kept", [None, "kept"])
@pytest.mark.parametrize(("step", "done"), KILLS)
def test_a_server_killed_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, done: int, kept: str | None
) -> None:
    """The client had no answer: all is taken back; a snapshot that was frozen is kept."""
    real = getattr(world.engine, step)
    calls = 0

    def killed(*what: Any) -> Any:
        nonlocal calls
        calls += 1
        result = real(*what) if done else None
        if calls >= done:
            raise KeyboardInterrupt
        return result

    before = names(world)
    more = {} if kept is None else {"instanceSnapshotName": kept}
    with monkeypatch.context() as patch:
        patch.setattr(world.engine, step, killed)
        # A real kill leaves no time to take the request back.
        patch.setattr("mooring.taking.forking.attempt", lambda *_: nullcontext())
        with pytest.raises(KeyboardInterrupt):
            fork(world, **more)

    recover(world.backend)
    world.settle()

    assert names(world) == before
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []
        found = [(one.name, one.state) for one in transaction.instance_snapshots.all()]
    frozen = (step, done) != ("freeze", 0)
    assert found == ([("kept", "available")] if kept and frozen else [])
    for name in PATHS:
        assert world.engine.read(world.disk_id(name), 0, BLOCK_SIZE) == (
            name[:1].encode() * BLOCK_SIZE
        )
    fork(world)
    world.settle()
    assert world.engine.read(world.disk_id("twin-logs"), 0, BLOCK_SIZE) == b"l" * BLOCK_SIZE


def test_who_is_bound_to_tags_reaches_the_snapshot_of_the_same_instant(world: World) -> None:
    bound = Access("red", Role.OPERATOR, {"team": "red"})
    tags = [{"key": "team", "value": "red"}]
    for name in ("web", *PATHS):
        world.call("TagResource", resourceName=name, tags=tags)

    fork(world, access=bound, tags=tags, instanceSnapshotName="snap")
    world.settle()

    world.call("DeleteInstanceSnapshot", instanceSnapshotName="snap", access=bound)
