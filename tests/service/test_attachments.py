"""Instances and attachments through the service."""

from __future__ import annotations

import pytest

from mooring.model.errors import InvalidInputException, OperationFailureException
from tests.service.world import World


@pytest.fixture
def attached(world: World) -> World:
    world.disk()
    world.instance()
    world.attach()
    return world


def test_create_instances_has_an_operation_for_each_name(world: World) -> None:
    result = world.call(
        "CreateInstances",
        instanceNames=["web-1", "web-2"],
        availabilityZone="us-east-2a",
        blueprintId="ubuntu_22_04",
        bundleId="nano_3_0",
    )

    found = [(one["resourceName"], one["operationType"]) for one in result["operations"]]
    assert found == [("web-1", "CreateInstance"), ("web-2", "CreateInstance")]
    state = world.call("GetInstanceState", instanceName="web-1")["state"]
    assert state == {"code": 0, "name": "pending"}
    world.settle()
    state = world.call("GetInstanceState", instanceName="web-1")["state"]
    assert state == {"code": 16, "name": "running"}


@pytest.mark.parametrize(("blueprint", "bundle"), [("no such", "nano_3_0"), ("external", "huge!")])
def test_blueprints_and_bundles_must_exist(world: World, blueprint: str, bundle: str) -> None:
    with pytest.raises(InvalidInputException, match="does not exist"):
        world.call(
            "CreateInstances",
            instanceNames=["web"],
            availabilityZone="us-east-2a",
            blueprintId=blueprint,
            bundleId=bundle,
        )


def test_attach_disk_has_two_operations_that_name_each_other(world: World) -> None:
    world.disk()
    world.instance()

    result = world.call("AttachDisk", diskName="data", instanceName="web", diskPath="/dev/xvdf")

    found = [
        (one["resourceType"], one["resourceName"], one["operationDetails"])
        for one in result["operations"]
    ]
    assert found == [("Disk", "data", "web"), ("Instance", "web", "data")]
    world.settle()
    disk = world.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["attachedTo"], disk["path"]) == ("in-use", "web", "/dev/xvdf")
    assert (disk["isAttached"], disk["attachmentState"]) == (True, "attached")
    instance = world.call("GetInstance", instanceName="web")["instance"]
    assert [one["name"] for one in instance["hardware"]["disks"]] == ["data"]


@pytest.mark.parametrize("path", ["xvdf", "/dev/", "/dev/../etc", "/dev/XVDF", ""])
def test_disk_paths_that_are_not_valid(world: World, path: str) -> None:
    world.disk()
    world.instance()
    with pytest.raises(InvalidInputException, match=r"^The disk path is invalid\. You must"):
        world.attach(path=path)


def test_disk_and_instance_must_be_in_one_zone(world: World) -> None:
    world.disk()
    world.instance(zone="us-east-2b")
    with pytest.raises(InvalidInputException, match="same availability zone"):
        world.attach()


def test_an_attached_disk_is_not_attached_again(attached: World) -> None:
    attached.instance("other")
    with pytest.raises(OperationFailureException, match="state of this disk is: in-use"):
        attached.attach(instance="other")


def test_an_instance_takes_fifteen_disks_each_with_its_path(attached: World) -> None:
    attached.disk("again")
    with pytest.raises(InvalidInputException, match="/dev/xvdf is already used"):
        attached.attach("again")
    for number in range(14):
        attached.disk(f"more-{number}")
        attached.attach(f"more-{number}", path=f"/dev/xvdg{number}")
    with pytest.raises(InvalidInputException, match="15 is the limit"):
        attached.attach("again", path="/dev/xvdz")


def test_detach_is_refused_while_a_client_is_connected(attached: World) -> None:
    attached.engine.connect(attached.disk_id("data"))

    with pytest.raises(OperationFailureException) as caught:
        attached.call("DetachDisk", diskName="data")

    assert caught.value.message.startswith(
        "You can't detach this disk right now. The state of this disk is: in-use: "
    )
    attached.engine.disconnect(attached.disk_id("data"))
    result = attached.call("DetachDisk", diskName="data")
    assert [one["resourceType"] for one in result["operations"]] == ["Disk", "Instance"]
    attached.settle()
    disk = attached.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["attachedTo"], disk["path"]) == ("available", None, None)


def test_stop_and_start(attached: World) -> None:
    attached.call("StopInstance", instanceName="web")
    with pytest.raises(OperationFailureException, match="state of this instance is: stopping"):
        attached.call("StopInstance", instanceName="web")
    attached.settle()
    assert attached.call("GetInstanceState", instanceName="web")["state"]["code"] == 80
    attached.call("StartInstance", instanceName="web")
    attached.settle()
    assert attached.call("GetInstanceState", instanceName="web")["state"]["code"] == 16
    assert attached.call("GetDisk", diskName="data")["disk"]["isAttached"]


def test_delete_instance_detaches_its_disks_and_keeps_them(attached: World) -> None:
    result = attached.call("DeleteInstance", instanceName="web")

    found = [
        (one["operationType"], one["resourceType"], one["status"]) for one in result["operations"]
    ]
    assert found == [
        ("DetachDisk", "Disk", "Started"),
        ("DetachDisk", "Instance", "Started"),
        ("DeleteInstance", "Instance", "Succeeded"),
    ]
    attached.settle()
    disk = attached.call("GetDisk", diskName="data")["disk"]
    assert (disk["state"], disk["isAttached"], disk["attachedTo"]) == ("available", False, None)
    assert attached.call("GetActiveNames")["activeNames"] == ["data"]
