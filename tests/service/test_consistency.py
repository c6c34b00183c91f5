"""Snapshots with the disk's users at rest: the wish, the means, the kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.jobs.recover import recover
from mooring.model.clock import SystemClock
from mooring.model.errors import (
    EngineError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.quiesce.interface import COMMANDS, GUEST_AGENT
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from mooring.taking import recording
from tests.service.world import REGION, ZONE, World

AGENT = "/run/qemu/web/agent.sock"


def tag(key: str, value: str | None) -> dict[str, str | None]:
    return {"key": f"mooring:{key}", "value": value}


def kind(world: World, snapshot: str) -> str | None:
    tags = {one["key"]: one["value"] for one in world.state(snapshot)["tags"]}
    return tags.get("mooring:consistency")


def told(world: World, snapshot: str) -> Mapping[str, Any]:
    context = Context(
        region=REGION,
        caller="AKIATEST",
        request_id="r",
        invocation_id=None,
        received_ms=SystemClock().now_ms(),
    )
    return own_handlers(world.backend)["snapshot"](context, {"diskSnapshotName": snapshot})


def used(world: World, wish: str | None = None, *, agent: bool = False) -> str:
    """A disk attached to `web`."""
    disk_id = world.disk(tags=[] if wish is None else [tag("quiesce", wish)])
    world.instance()
    if agent:
        world.call("TagResource", resourceName="web", tags=[tag("guest-agent", AGENT)])
    world.attach()
    return disk_id


def gone(world: World, snapshot: str) -> bool:
    """Whether nothing of the snapshot is left: no resource, no job, no operation, no point."""
    try:
        world.state(snapshot)
    except NotFoundException:
        with world.catalog.read() as transaction:
            assert not transaction.jobs.all()
        # A point given up goes when the overlay above it takes no more writes.
        disk_id = world.disk_id("data")
        world.engine.freeze({disk_id: "next"})
        world.engine.release(disk_id, "next", stored=False)
        return list(world.engine.points(disk_id)) == ["next"]
    return False


def test_a_disk_that_nobody_uses_is_at_rest(world: World) -> None:
    world.disk(tags=[tag("quiesce", "require")])
    world.snapshot("first")
    assert kind(world, "first") == "at-rest"

    world.instance()
    world.attach()
    world.call("StopInstance", instanceName="web")
    world.runner.drain()
    world.snapshot("second")
    assert kind(world, "second") == "at-rest"


def test_nobody_knows_how(world: World) -> None:
    used(world)

    world.snapshot("first")

    assert kind(world, "first") == "crash"
    assert world.quiescer.holds == 0
    answer = told(world, "first")
    assert (answer["consistency"], answer["quiesceSeconds"]) == ("crash", None)


def test_by_the_guest_agent(world: World) -> None:
    used(world, agent=True)
    held = []
    world.quiescer.when_held = lambda: held.append(set(world.quiescer.held))

    world.snapshot("first")

    assert held == [{GUEST_AGENT}]
    assert world.quiescer.held == set()
    assert kind(world, "first") == "file-system"
    assert told(world, "first")["quiesceSeconds"] == 0.001


def test_by_commands(world: World) -> None:
    used(world, agent=True)
    world.quiescer.commands.add("web")

    world.snapshot("first")

    assert kind(world, "first") == "application"


def test_off(world: World) -> None:
    used(world, "off", agent=True)

    world.snapshot("first")

    assert world.quiescer.holds == 0
    assert kind(world, "first") == "crash"


def test_a_try_that_fails_goes_on_without(world: World) -> None:
    used(world, agent=True)
    world.quiescer.failing[GUEST_AGENT] = "it does not answer"

    world.snapshot("first")
    world.settle()

    assert world.state("first")["state"] == "completed"
    assert kind(world, "first") == "crash"
    assert told(world, "first")["quiesceProblem"] == "guest-agent: it does not answer"


def test_thawed_before_the_disk_was_frozen(world: World) -> None:
    used(world, agent=True)
    world.quiescer.slipping[GUEST_AGENT] = "thawed"

    world.snapshot("first")

    assert kind(world, "first") == "crash"


@pytest.mark.parametrize("trouble", ["failing", "slipping", "forbidden", "nobody", "half"])
def test_require_that_cannot_be_fulfilled_leaves_nothing(world: World, trouble: str) -> None:
    used(world, "require", agent=trouble != "nobody")
    if trouble == "failing":
        world.quiescer.failing[GUEST_AGENT] = "it does not answer"
    elif trouble == "slipping":
        world.quiescer.slipping[GUEST_AGENT] = "thawed too early"
    elif trouble == "half":
        world.quiescer.commands.add("web")
        world.quiescer.slipping[COMMANDS] = "thawed too early"
    else:
        world.quiescer.forbidden = "not below"

    with pytest.raises(OperationFailureException, match=r"disk data requires .* none was taken"):
        world.snapshot("first")

    assert gone(world, "first")
    assert world.quiescer.held == set()


def test_require_that_is_fulfilled(world: World) -> None:
    used(world, "require", agent=True)

    world.snapshot("first")
    world.settle()

    assert (kind(world, "first"), world.state("first")["state"]) == ("file-system", "completed")


def test_users_are_thawed_when_the_disk_cannot_be_frozen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    used(world, agent=True)

    def broken(points: Mapping[str, str]) -> None:
        assert world.quiescer.held == {GUEST_AGENT}
        raise EngineError("broken")

    monkeypatch.setattr(world.engine, "freeze", broken)
    with pytest.raises(OperationFailureException, match=r"could not be frozen.*broken"):
        world.snapshot("first")

    monkeypatch.undo()
    assert world.quiescer.held == set()
    assert gone(world, "first")


@pytest.mark.parametrize(("wish", "stays"), [("try", True), ("require", False)])
def test_the_server_was_killed_after_the_freeze(
    world: World, monkeypatch: pytest.MonkeyPatch, wish: str, stays: bool
) -> None:
    used(world, wish, agent=True)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # It leaves the point, and the snapshot unconfirmed.
    with monkeypatch.context() as patch:
        patch.setattr(recording, "confirm", killed)
        with pytest.raises(KeyboardInterrupt):
            world.snapshot("first")

    recover(world.backend)
    world.settle()

    assert gone(world, "first") is not stays
    if stays:
        assert told(world, "first")["consistency"] is None


def test_a_wish_that_is_none(world: World) -> None:
    with pytest.raises(InvalidInputException, match=r"mooring:quiesce must be off, try or require"):
        world.disk(tags=[tag("quiesce", "sometimes")])
    world.disk()
    with pytest.raises(InvalidInputException, match="must be off, try or require"):
        world.call("TagResource", resourceName="data", tags=[tag("quiesce", None)])
    with pytest.raises(InvalidInputException, match=r"those you can set are mooring:quiesce, "):
        world.call("TagResource", resourceName="data", tags=[tag("quiese", "try")])


@pytest.mark.parametrize(
    "path", ["agent.sock", "/run/../etc/x", "/", "/run//x", "/run/x/", "", "/" + "x" * 107]
)
def test_a_socket_that_is_none(world: World, path: str) -> None:
    world.instance()

    with pytest.raises(InvalidInputException, match="mooring:guest-agent"):
        world.call("TagResource", resourceName="web", tags=[tag("guest-agent", path)])


def test_tags_belong_on_their_resources(world: World) -> None:
    world.disk()
    world.instance()
    with pytest.raises(InvalidInputException, match="belongs on a resource of the type Instance"):
        world.call("TagResource", resourceName="data", tags=[tag("guest-agent", AGENT)])
    with pytest.raises(InvalidInputException, match="belongs on a resource of the type Disk"):
        world.call("TagResource", resourceName="web", tags=[tag("quiesce", "try")])


def test_only_the_server_says_how_consistent_a_snapshot_is(world: World) -> None:
    world.disk()
    mine = [tag("consistency", "application")]
    world.snapshot("s1", tags=mine)
    world.call("TagResource", resourceName="s1", tags=mine)
    world.call("UntagResource", resourceName="s1", tagKeys=["mooring:consistency"])
    world.call("TagResource", resourceName="s1", tags=[{"key": f"k{n}"} for n in range(50)])
    world.call("UntagResource", resourceName="s1", tagKeys=["k0"])

    assert kind(world, "s1") == "at-rest"


def test_whoever_copies_tags_need_not_sort_them(world: World) -> None:
    """All tags of what is there go to what is made of it: there and back."""
    world.disk(tags=[tag("quiesce", "off"), tag("snapshots", "daily keep 1 week")])
    own = [{"key": f"k{n}", "value": "v"} for n in range(48)]
    world.call("TagResource", resourceName="data", tags=own)

    def tags_of(operation: str, what: str, **named: str) -> list[Mapping[str, Any]]:
        return list(world.call(operation, **named)[what]["tags"])

    of_disk = tags_of("GetDisk", "disk", diskName="data")
    world.snapshot("s1", tags=of_disk)
    world.settle()
    of_snapshot = tags_of("GetDiskSnapshot", "diskSnapshot", diskSnapshotName="s1")
    assert tag("consistency", "at-rest") in of_snapshot
    assert len(of_snapshot) == 51, "the server's own does not count"
    asked: dict[str, Any] = {"diskSnapshotName": "s1", "availabilityZone": ZONE, "sizeInGb": 8}
    world.call("CreateDiskFromSnapshot", diskName="new", tags=of_snapshot, **asked)
    assert tags_of("GetDisk", "disk", diskName="new") == of_disk
    world.call("TagResource", resourceName="new", tags=of_snapshot)
    assert tags_of("GetDisk", "disk", diskName="new") == of_disk

    world.instance(tags=[tag("address", "10.1.2.3"), {"key": "team", "value": "a"}])
    of_instance = tags_of("GetInstance", "instance", instanceName="web")
    world.attach("data")
    asked = {"instanceName": "web", "instanceSnapshotName": "all"}
    world.call("CreateInstanceSnapshot", tags=of_instance, **asked)
    world.settle()
    of_whole = tags_of("GetInstanceSnapshot", "instanceSnapshot", instanceSnapshotName="all")
    assert len(of_whole) == 3
    world.call(
        "CreateInstancesFromSnapshot",
        instanceNames=["web2"],
        instanceSnapshotName="all",
        availabilityZone=ZONE,
        bundleId="external",
        tags=of_whole,
    )
    assert tags_of("GetInstance", "instance", instanceName="web2") == of_instance


def test_what_a_snapshot_keeps_of_its_disk_is_checked_all_the_same(world: World) -> None:
    world.disk()
    with pytest.raises(InvalidInputException, match="must be off, try or require"):
        world.snapshot("s1", tags=[tag("quiesce", "sometimes")])
    with pytest.raises(InvalidInputException, match="has no meaning"):
        world.snapshot("s1", tags=[tag("quiet", "try")])


def test_all_disks_of_an_instance_in_one_hold(world: World) -> None:
    used(world, agent=True)
    world.disk("other", tags=[tag("quiesce", "off")])
    world.attach("other", path="/dev/xvdg")

    world.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="all")
    world.settle()

    assert world.quiescer.holds == 1
    with world.catalog.read() as transaction:
        whole = transaction.instance_snapshots.by_name(REGION, "all")
    assert whole is not None
    assert [part.consistency for part in whole.parts] == ["file-system", "crash"]
    # The whole is as good as its worst part.
    assert whole.tags == {"mooring:consistency": "crash"}


def test_an_instance_with_a_disk_that_must_be_at_rest(world: World) -> None:
    used(world, "require", agent=True)
    world.quiescer.failing[GUEST_AGENT] = "it does not answer"

    with pytest.raises(OperationFailureException, match=r"disk data requires"):
        world.call("CreateInstanceSnapshot", instanceName="web", instanceSnapshotName="all")

    assert world.call("GetInstanceSnapshots")["instanceSnapshots"] == []
    assert list(world.engine.points(world.disk_id("data"))) == []


def test_an_agent_that_would_not_be_talked_to_is_refused_where_it_is_given(world: World) -> None:
    world.instance()
    world.quiescer.forbidden = "its socket is not below a directory of the settings"
    with pytest.raises(InvalidInputException, match="not below a directory"):
        world.call("TagResource", resourceName="web", tags=[tag("guest-agent", AGENT)])
    with pytest.raises(InvalidInputException, match="not below a directory"):
        world.call(
            "CreateInstances",
            instanceNames=["more"],
            availabilityZone="us-east-2a",
            blueprintId="external",
            bundleId="external",
            tags=[tag("guest-agent", AGENT)],
        )
    assert world.call("GetInstance", instanceName="web")["instance"]["tags"] == []
