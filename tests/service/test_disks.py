"""Disks through the service: rules, states, messages."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from tests.service.world import REGION, ZONE, World


def test_create_disk_answers_pending_and_becomes_available(world: World) -> None:
    result = world.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)

    (operation,) = result["operations"]
    assert operation["resourceName"] == "data"
    assert operation["resourceType"] == "Disk"
    assert operation["operationType"] == "CreateDisk"
    assert operation["location"] == {"availabilityZone": ZONE, "regionName": REGION}
    assert (operation["status"], operation["isTerminal"]) == ("Started", False)
    assert operation["operationDetails"] is None
    disk = world.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["isAttached"], disk["iops"]) == ("pending", False, 100)

    world.settle()

    disk = world.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["attachmentState"]) == ("available", "detached")
    (operation,) = world.operations("data")
    assert (operation["status"], operation["isTerminal"]) == ("Succeeded", True)


@pytest.mark.parametrize("size", [0, 7, 16385, -8])
def test_sizes_out_of_range(world: World, size: int) -> None:
    with pytest.raises(InvalidInputException, match="between 8 and 16384 GB"):
        world.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=size)
    assert world.call("GetActiveNames")["activeNames"] == []


@pytest.mark.parametrize("name", ["a", "-ab", "ab-", "a b", "ü1", "x" * 256, "a/b", ".."])
def test_names_that_are_not_valid(world: World, name: str) -> None:
    with pytest.raises(InvalidInputException, match="is not a valid resource name"):
        world.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)


@pytest.mark.parametrize("name", ["ab", "a.b", "A_1-b", "x" * 255, "my.disk"])
def test_names_that_are_valid(world: World, name: str) -> None:
    world.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)

    assert world.call("GetActiveNames")["activeNames"] == [name]


def test_a_name_serves_one_resource_of_a_region_whatever_its_type(world: World) -> None:
    world.disk("shared")

    for create in (
        lambda: world.disk("shared"),
        lambda: world.instance("shared"),
        lambda: world.snapshot("shared", disk="shared"),
    ):
        with pytest.raises(InvalidInputException) as caught:
            create()
        assert caught.value.message == "Some names are already in use: shared"
        assert caught.value.code == "NameExists"

    elsewhere: dict[str, Any] = {"availabilityZone": "us-west-2a", "sizeInGb": 8}
    world.call("CreateDisk", region="us-west-2", diskName="shared", **elsewhere)
    assert len(world.call("GetDisks")["disks"]) == 1


def test_a_zone_must_be_in_the_region(world: World) -> None:
    with pytest.raises(InvalidInputException, match="us-west-2a is not in the region us-east-2"):
        world.call("CreateDisk", diskName="data", availabilityZone="us-west-2a", sizeInGb=8)


def test_missing_things_are_named(world: World) -> None:
    with pytest.raises(NotFoundException) as caught:
        world.call("GetDisk", diskName="nope")
    assert caught.value.message == "The Disk does not exist: nope"
    assert caught.value.code == "DoesNotExist"


def test_delete_disk_is_done_at_once_and_frees_the_name(world: World) -> None:
    disk_id = world.disk()

    (operation,) = world.call("DeleteDisk", diskName="data")["operations"]

    assert (operation["status"], operation["isTerminal"]) == ("Succeeded", True)
    with pytest.raises(NotFoundException):
        world.call("GetDisk", diskName="data")
    world.settle()
    assert not world.engine.health(disk_id).ok
    world.disk("data")


def test_an_attached_disk_is_not_deleted(world: World) -> None:
    world.disk()
    world.instance()
    world.attach()

    with pytest.raises(OperationFailureException) as caught:
        world.call("DeleteDisk", diskName="data")

    assert caught.value.message == (
        "You can't perform this operation because the disk is still attached "
        "to a Lightsail instance: web"
    )


def test_a_disk_that_cannot_be_made_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_disk_id: str, _size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.engine, "create", refuse)
    world.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
    world.settle(seconds=600)

    assert world.call("GetDisk", diskName="data")["disk"]["state"] == "error"
    (operation,) = world.operations("data")
    assert (operation["status"], operation["errorCode"]) == ("Failed", "DiskFull")
    assert "No space left on device" in operation["errorDetails"]
    world.call("DeleteDisk", diskName="data")


def test_pages_hold_a_hundred_and_follow_on(world: World) -> None:
    for number in range(205):
        world.call("CreateDisk", diskName=f"d{number:03}", availabilityZone=ZONE, sizeInGb=8)

    names: list[str] = []
    token = None
    sizes = []
    while True:
        page = world.call("GetDisks", **({"pageToken": token} if token else {}))
        names += [disk["name"] for disk in page["disks"]]
        sizes.append(len(page["disks"]))
        token = page["nextPageToken"]
        if token is None:
            break

    assert sizes == [100, 100, 5]
    assert names == [f"d{number:03}" for number in range(205)]


@pytest.mark.parametrize("token", ["x", "!!", "MTIz" * 20, "LTE="])
def test_a_page_token_of_somebody_else(world: World, token: str) -> None:
    with pytest.raises(InvalidInputException, match="page token is invalid"):
        world.call("GetDisks", pageToken=token)


def test_tags_are_set_changed_and_taken_off(world: World) -> None:
    world.disk(tags=[{"key": "env", "value": "test"}, {"key": "alone"}])

    world.call("TagResource", resourceName="data", tags=[{"key": "env", "value": "prod"}])
    world.call("UntagResource", resourceName="data", tagKeys=["alone", "absent"])

    tags = world.call("GetDisk", diskName="data")["disk"]["tags"]
    assert tags == [{"key": "env", "value": "prod"}]
    newest = world.operations("data")[0]
    assert (newest["operationType"], newest["isTerminal"]) == ("UntagResource", True)


def test_tags_have_limits(world: World) -> None:
    world.disk()
    many = [{"key": f"k{number}", "value": ""} for number in range(51)]
    for tags in (many, [{"key": "aws:x"}], [{"key": "k" * 129}], [{"key": "k", "value": "*"}]):
        with pytest.raises(InvalidInputException):
            world.call("TagResource", resourceName="data", tags=tags)
    assert world.call("GetDisk", diskName="data")["disk"]["tags"] == []


def test_a_lost_answer_is_given_again(world: World) -> None:
    asked: dict[str, Any] = {
        "diskName": "data",
        "availabilityZone": ZONE,
        "sizeInGb": 8,
        "invocation": "i-1",
    }
    first = world.call("CreateDisk", **asked)

    assert world.call("CreateDisk", **asked) == first
    assert len(world.call("GetDisks")["disks"]) == 1
    with pytest.raises(InvalidInputException, match="already in use"):
        world.call("CreateDisk", **{**asked, "sizeInGb": 9})
    with pytest.raises(InvalidInputException, match="already in use"):
        world.call("CreateDisk", **asked, caller="AKIAOTHER")
    world.clock.advance(16 * 60)
    world.call("CreateDisk", diskName="other", availabilityZone=ZONE, sizeInGb=8, invocation="i-2")
    with pytest.raises(InvalidInputException, match="already in use"):
        world.call("CreateDisk", **asked)
