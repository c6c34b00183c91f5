"""What callers may do: by their role, and by the tags that bind them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mooring.model.access import Access, Need, Role
from mooring.model.errors import AccessDeniedException, NotFoundException, ServiceError
from mooring.service.context import Context
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.table import OPERATIONS
from tests.service.world import REGION, ZONE, World

READER = Access("eve", Role.READ_ONLY)
OPERATOR = Access("olga", Role.OPERATOR)
DB = Access("db-team", Role.OPERATOR, {"team": "db"})
DB_READER = Access("db-eyes", Role.READ_ONLY, {"team": "db"})
TAGS = [{"key": "team", "value": "db"}, {"key": "env", "value": "test"}]
OTHER_TAGS = [{"key": "team", "value": "web"}]


def denied(world: World, operation: str, access: Access, **params: Any) -> str:
    with pytest.raises(AccessDeniedException) as caught:
        world.call(operation, access=access, **params)
    return caught.value.message


def new_disk(name: str, tags: list[dict[str, str]]) -> dict[str, Any]:
    return {"diskName": name, "availabilityZone": ZONE, "sizeInGb": 8, "tags": tags}


@pytest.fixture
def tagged(world: World) -> World:
    """A disk and an instance of the team, and a disk of another."""
    world.disk("ours", tags=TAGS)
    world.disk("theirs", tags=OTHER_TAGS)
    world.instance("web")
    world.call("TagResource", resourceName="web", tags=TAGS)
    return world


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_roles_are_held_for_each_operation(world: World, operation: str) -> None:
    """The input is empty: whoever is admitted fails later, for another reason."""
    for role in Role:
        allowed = role.allows(OPERATIONS[operation].need)
        try:
            world.call(operation, access=Access("someone", role))
        except AccessDeniedException:
            assert not allowed
        except (ServiceError, KeyError):
            assert allowed
        else:
            assert allowed


def test_each_role_includes_the_one_below() -> None:
    allowed = {role: [need for need in Need if role.allows(need)] for role in Role}

    assert allowed == {
        Role.READ_ONLY: [Need.READ],
        Role.OPERATOR: [Need.READ, Need.CHANGE],
        Role.ADMINISTRATOR: [Need.READ, Need.CHANGE, Need.ADMINISTER],
    }


def test_the_words_are_those_of_the_real_service(world: World) -> None:
    message = denied(world, "CreateDisk", READER, **new_disk("no", []))

    assert message.startswith(
        "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: "
        "lightsail:CreateDisk on resource: * because no identity-based policy allows the "
        "lightsail:CreateDisk action"
    )
    with pytest.raises(NotFoundException):
        world.call("GetDisk", diskName="no")


def test_own_requests_obey_too(tagged: World) -> None:
    handlers = own_handlers(tagged.backend)

    def ask(name: str, access: Access, **params: str) -> Any:
        context = Context(REGION, "AKIATEST", "request", None, 0, access)
        return handlers[name](context, params)

    assert ask("disk", READER, diskName="ours")["diskName"] == "ours"
    assert ask("disk", DB, diskName="ours")["diskName"] == "ours"
    with pytest.raises(AccessDeniedException, match="mooring:disk on resource: arn:aws:lightsail"):
        ask("disk", DB, diskName="theirs")
    with pytest.raises(AccessDeniedException, match=r"mooring:uri on resource: \*"):
        ask("uri", READER, diskName="ours")
    for name, request in OWN_REQUESTS.items():
        if request.entry.need is not Need.READ:
            with pytest.raises(AccessDeniedException):
                ask(name, READER, diskName="ours", diskSnapshotName="no")


def test_who_is_bound_acts_on_what_has_the_tag(tagged: World) -> None:
    tagged.call("CreateDisk", access=DB, **new_disk("more", TAGS))
    tagged.runner.drain()
    tagged.call("AttachDisk", access=DB, diskName="ours", instanceName="web", diskPath="/dev/xvdf")
    tagged.runner.drain()
    tagged.call(
        "CreateDiskSnapshot", access=DB, diskName="ours", diskSnapshotName="snap", tags=TAGS
    )
    tagged.settle()
    tagged.call(
        "CreateDiskFromSnapshot", access=DB, diskSnapshotName="snap", **new_disk("again", TAGS)
    )
    tagged.settle()
    tagged.call("DetachDisk", access=DB, diskName="ours")
    tagged.settle()
    for name in ("ours", "more", "again"):
        tagged.call("DeleteDisk", access=DB, diskName=name)
    assert tagged.state("snap")["state"] == "completed"


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetDisk", {"diskName": "theirs"}),
        ("DeleteDisk", {"diskName": "theirs"}),
        ("AttachDisk", {"diskName": "theirs", "instanceName": "web", "diskPath": "/dev/xvdf"}),
        ("CreateDiskSnapshot", {"diskName": "theirs", "diskSnapshotName": "s1", "tags": TAGS}),
        ("TagResource", {"resourceName": "theirs", "tags": TAGS}),
        ("UntagResource", {"resourceName": "theirs", "tagKeys": ["env"]}),
        ("GetOperationsForResource", {"resourceName": "theirs"}),
    ],
)
def test_who_is_bound_reaches_nothing_else(
    tagged: World, operation: str, params: dict[str, Any]
) -> None:
    message = denied(tagged, operation, DB, **params)

    assert ":Disk/* because" in message
    assert tagged.disk_id("theirs") not in message
    assert "tags team=db" in message
    found = tagged.call("GetDisk", diskName="theirs")["disk"]
    assert (found["state"], found["tags"]) == ("available", OTHER_TAGS)
    assert len(tagged.operations("theirs")) == 1


def test_one_wrong_resource_of_two_is_enough(tagged: World) -> None:
    tagged.instance("plain")

    message = denied(
        tagged,
        "AttachDisk",
        DB,
        diskName="ours",
        instanceName="plain",
        diskPath="/dev/xvdf",
    )

    assert ":Instance/" in message


@pytest.mark.parametrize(
    "tags", [[], OTHER_TAGS, [{"key": "team"}], [{"key": "TEAM", "value": "db"}]]
)
def test_what_is_made_must_have_the_tags(tagged: World, tags: list[dict[str, str]]) -> None:
    message = denied(tagged, "CreateDisk", DB, **new_disk("more", tags))

    assert "The request must give the tags team=db." in message
    with pytest.raises(NotFoundException):
        tagged.call("GetDisk", diskName="more")


def test_the_tags_that_bind_stay(tagged: World) -> None:
    denied(tagged, "UntagResource", DB, resourceName="ours", tagKeys=["env", "team"])
    denied(tagged, "TagResource", DB, resourceName="ours", tags=OTHER_TAGS)
    tagged.call("TagResource", access=DB, resourceName="ours", tags=TAGS)
    tagged.call("UntagResource", access=DB, resourceName="ours", tagKeys=["env"])

    assert tagged.call("GetDisk", diskName="ours")["disk"]["tags"] == TAGS[:1]


def test_lists_show_what_can_be_reached(tagged: World) -> None:
    for access in (DB, DB_READER):
        assert [one["name"] for one in tagged.call("GetDisks", access=access)["disks"]] == ["ours"]
        shown = tagged.call("GetInstances", access=access)["instances"]
        assert [one["name"] for one in shown] == ["web"]
    assert len(tagged.call("GetDisks", access=READER)["disks"]) == 2
    # What has no tags is for everybody.
    assert tagged.call("GetBundles", access=DB)["bundles"]
    assert tagged.call("GetRegions", access=DB)["regions"]


def test_what_is_not_there_is_called_so(tagged: World) -> None:
    for name in ("nothing", "x", "\0", "a" * 300, ""):
        with pytest.raises(ServiceError) as caught:
            tagged.call("GetDisk", access=DB, diskName=name)
        assert not isinstance(caught.value, AccessDeniedException)


def test_a_tag_taken_away_before_the_change_counts(tagged: World) -> None:
    """The look at the tags and the change are one transaction."""
    entered, go = threading.Event(), threading.Event()
    outcome: list[Exception | None] = []

    def delete() -> None:
        entered.set()
        go.wait(30)
        try:
            tagged.call("DeleteDisk", access=DB, diskName="ours")
        except AccessDeniedException as error:
            outcome.append(error)
        else:
            outcome.append(None)

    disk_id = tagged.disk_id("ours")
    thread = threading.Thread(target=delete)
    with tagged.catalog.write() as transaction:
        thread.start()
        entered.wait(30)
        go.set()
        transaction.tags.replace(disk_id, {"team": "web"})
    thread.join(30)

    assert len(outcome) == 1
    assert isinstance(outcome[0], AccessDeniedException)


def test_what_was_begun_is_finished_whatever_became_of_the_tags(tagged: World) -> None:
    """The second transaction of a snapshot confirms it, and is not checked again."""
    freeze, disk_id = tagged.engine.freeze, tagged.disk_id("ours")

    def untag_and_freeze(points: Any) -> Any:
        with tagged.catalog.write() as transaction:
            transaction.tags.replace(disk_id, {})
        return freeze(points)

    tagged.engine.freeze = untag_and_freeze  # type: ignore[method-assign]
    tagged.call("CreateDiskSnapshot", access=DB, diskName="ours", diskSnapshotName="s1", tags=TAGS)
    tagged.settle()

    assert tagged.state("s1")["state"] == "completed"


def test_an_answer_that_was_lost_comes_again(tagged: World) -> None:
    first = tagged.call("DeleteDisk", access=DB, invocation="once", diskName="ours")
    tagged.disk("ours", tags=OTHER_TAGS)

    again = tagged.call("DeleteDisk", access=DB, invocation="once", diskName="ours")

    assert again == first
    assert tagged.call("GetDisk", diskName="ours")["disk"]["tags"] == OTHER_TAGS
