"""Who uses a disk is named where it is taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mooring.model.errors import (
    DiskBusyError,
    InvalidInputException,
    OperationFailureException,
)
from mooring.service.context import Context
from mooring.service.own.table import own_handlers
from tests.service.world import REGION, World


@pytest.fixture
def used(world: World) -> World:
    """`data` is attached to `web`, and process 4711 is connected to it."""
    world.disk()
    world.instance()
    world.attach()
    world.engine.connect(world.disk_id("data"), 4711)
    return world


def ask(world: World, question: str) -> Mapping[str, Any]:
    context = Context(
        region=REGION, caller="AKIATEST", request_id="r", invocation_id=None, received_ms=0
    )
    return own_handlers(world.backend)[question](context, {"diskName": "data"})


def test_a_disk_tells_who_uses_it(used: World) -> None:
    with pytest.raises(DiskBusyError):
        used.engine.connect(used.disk_id("data"), 4712)

    told = ask(used, "disk")

    assert told["clients"] == [{"pid": 4711, "command": None, "connections": 1, "address": None}]
    assert "(process 4712)" in told["refused"]
    assert "(process 4711)" in told["refused"]


def test_detaching_names_who_is_connected_and_the_way_out(used: World) -> None:
    with pytest.raises(OperationFailureException) as caught:
        used.call("DetachDisk", diskName="data")

    assert caught.value.message.startswith(
        "You can't detach this disk right now. The state of this disk is: in-use: "
    )
    assert "(process 4711) is connected to it" in caught.value.message
    assert "stop-instance" in caught.value.message


def test_growing_names_who_is_cut_off_once(used: World) -> None:
    context = Context(
        region=REGION, caller="AKIATEST", request_id="r", invocation_id=None, received_ms=0
    )
    grow = own_handlers(used.backend)["grow"]

    (operation,) = grow(context, {"diskName": "data", "sizeInGb": 16})["operations"]

    assert operation["operationDetails"].startswith("cut off from data: ")
    assert "(process 4711)" in operation["operationDetails"]


def test_attaching_again_names_the_instance_and_the_way_out(used: World) -> None:
    used.instance("other")
    with pytest.raises(OperationFailureException) as caught:
        used.attach(instance="other")

    assert caught.value.message == (
        "You can't attach this disk right now. The state of this disk is: in-use: "
        "it is attached to the instance web. Detach it first"
    )


@pytest.mark.parametrize("operation", ["StopInstance", "DeleteInstance"])
def test_the_operation_names_who_is_cut_off(used: World, operation: str) -> None:
    started = used.call(operation, instanceName="web")["operations"]

    (own,) = [one for one in started if one["operationType"] == operation]
    assert own["operationDetails"].startswith("cut off from data: ")
    assert "(process 4711)" in own["operationDetails"]


@pytest.mark.parametrize("operation", ["StopInstance", "DeleteInstance"])
def test_nobody_is_named_where_nobody_is_connected(used: World, operation: str) -> None:
    used.engine.disconnect(used.disk_id("data"), 4711)

    started = used.call(operation, instanceName="web")["operations"]

    (own,) = [one for one in started if one["operationType"] == operation]
    assert not own.get("operationDetails")


def test_a_disk_of_this_host_is_not_served_beside_it(world: World) -> None:
    world.disk()
    world.instance("here", blueprint="host")
    world.attach("data", "here")

    with pytest.raises(OperationFailureException, match=r"block device of this host, /dev/mem0"):
        ask(world, "uri")

    tags = [{"key": "mooring:shared", "value": "true"}]
    world.call("TagResource", resourceName="data", tags=tags)
    assert ask(world, "uri")["uri"].startswith("nbd+unix:")


@pytest.mark.parametrize("value", ["yes", "", "TRUE"])
def test_the_tag_is_true_or_false(world: World, value: str) -> None:
    world.disk()
    with pytest.raises(InvalidInputException, match="mooring:shared must be true or false"):
        world.call(
            "TagResource",
            resourceName="data",
            tags=[{"key": "mooring:shared", "value": value}],
        )


def test_the_tag_belongs_on_disks(world: World) -> None:
    world.instance()
    with pytest.raises(InvalidInputException, match="belongs on a resource of the type Disk"):
        world.call(
            "TagResource",
            resourceName="web",
            tags=[{"key": "mooring:shared", "value": "true"}],
        )
