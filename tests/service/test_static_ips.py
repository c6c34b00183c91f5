"""Static IPs, and the addresses that instances tell."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.model.access import Access, Role
from mooring.model.errors import (
    AccessDeniedException,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
    ServiceError,
)
from tests.service.world import World

DB = Access("db-team", Role.OPERATOR, {"team": "db"})
TAGS = [{"key": "team", "value": "db"}]


def allocate(world: World, name: str = "addr", **more: Any) -> dict[str, Any]:
    world.call("AllocateStaticIp", staticIpName=name, **more)
    return dict(world.call("GetStaticIp", staticIpName=name)["staticIp"])


def shown(world: World, name: str = "web") -> dict[str, Any]:
    return dict(world.call("GetInstance", instanceName=name)["instance"])


def test_a_static_ip_is_attached_and_detached(world: World) -> None:
    world.instance()
    before = shown(world)
    assert before["isStaticIp"] is False
    one = allocate(world)
    assert one["isAttached"] is False
    assert one["attachedTo"] is None
    assert one["supportCode"].endswith(one["ipAddress"])

    attached = world.call("AttachStaticIp", staticIpName="addr", instanceName="web")["operations"]

    told = [(op["resourceName"], op["resourceType"], op["operationDetails"]) for op in attached]
    assert told == [
        ("addr", "StaticIp", "web"),
        ("web", "Instance", "addr"),
    ]
    assert all(op["isTerminal"] and op["status"] == "Succeeded" for op in attached)
    after = shown(world)
    assert (after["publicIpAddress"], after["isStaticIp"]) == (one["ipAddress"], True)
    (listed,) = world.call("GetInstances")["instances"]
    assert listed["publicIpAddress"] == one["ipAddress"]
    (found,) = world.call("GetStaticIps")["staticIps"]
    assert (found["attachedTo"], found["isAttached"]) == ("web", True)

    detached = world.call("DetachStaticIp", staticIpName="addr")["operations"]
    assert [op["operationType"] for op in detached] == ["DetachStaticIp"] * 2
    assert shown(world) == before
    world.call("ReleaseStaticIp", staticIpName="addr")
    assert world.call("GetStaticIps")["staticIps"] == []
    assert "addr" not in world.call("GetActiveNames")["activeNames"]


def test_addresses_belong_to_one_only(world: World) -> None:
    names = [f"web-{number}" for number in range(3)]
    for name in names:
        world.instance(name)
    statics = [allocate(world, f"addr-{number}")["ipAddress"] for number in range(3)]
    world.call("AllocateStaticIp", region="us-west-2", staticIpName="addr-0")
    west = world.call("GetStaticIps", region="us-west-2")["staticIps"][0]["ipAddress"]
    found = [shown(world, name) for name in names]
    public = [one["publicIpAddress"] for one in found]
    assert len({*public, *statics, west}) == 7
    assert len({one["privateIpAddress"] for one in found}) == 3
    assert len({one["ipv6Addresses"][0] for one in found}) == 3
    # What is given up can be had again, and what stays keeps its own.
    world.call("DeleteInstance", instanceName="web-1")
    world.settle()
    world.instance("web-3")
    assert shown(world, "web-3")["publicIpAddress"] not in {public[0], public[2], *statics, west}
    assert shown(world, "web-2") == found[2]


def test_a_region_has_five(world: World) -> None:
    for number in range(5):
        allocate(world, f"addr-{number}")
    with pytest.raises(InvalidInputException, match=r"maximum limit of Lightsail Static IPs : 5"):
        allocate(world, "addr-5")
    world.call("AllocateStaticIp", region="us-west-2", staticIpName="addr-5")
    world.call("ReleaseStaticIp", staticIpName="addr-2")
    allocate(world, "addr-5")


def test_names_are_those_of_the_region(world: World) -> None:
    world.disk("data")
    with pytest.raises(InvalidInputException, match="already in use: data"):
        allocate(world, "data")
    allocate(world, "addr")
    with pytest.raises(InvalidInputException, match="already in use: addr"):
        world.disk("addr")
    with pytest.raises(InvalidInputException, match="not a valid resource name"):
        allocate(world, "a")


def test_what_does_not_go(world: World) -> None:
    world.instance()
    world.instance("other")
    allocate(world)
    allocate(world, "second")
    pair = {"staticIpName": "addr", "instanceName": "web"}
    address, nope = {"staticIpName": "addr"}, {"staticIpName": "nope"}
    refused: list[tuple[type[ServiceError], str, str, dict[str, Any]]] = [
        (NotFoundException, "StaticIp does not exist: nope", "GetStaticIp", nope),
        (NotFoundException, "StaticIp does not", "AttachStaticIp", {**pair, **nope}),
        (NotFoundException, "Instance does not", "AttachStaticIp", {**pair, "instanceName": "no"}),
        (NotFoundException, "StaticIp does not", "ReleaseStaticIp", {"staticIpName": "web"}),
        (OperationFailureException, "is not attached", "DetachStaticIp", address),
    ]
    for error, message, operation, params in refused:
        with pytest.raises(error, match=message):
            world.call(operation, **params)
    world.call("AttachStaticIp", **pair)
    for params in (pair, {**pair, "instanceName": "other"}):
        with pytest.raises(OperationFailureException, match="attached to the instance web"):
            world.call("AttachStaticIp", **params)
    with pytest.raises(OperationFailureException, match="web already has a static IP"):
        world.call("AttachStaticIp", staticIpName="second", instanceName="web")
    ipv6: dict[str, Any] = {"resourceType": "Instance", "ipAddressType": "ipv6"}
    with pytest.raises(OperationFailureException, match="detach it first"):
        world.call("SetIpAddressType", resourceName="web", **ipv6)
    world.call("SetIpAddressType", resourceName="other", **ipv6)
    assert shown(world, "other")["publicIpAddress"] is None
    with pytest.raises(OperationFailureException, match="only IPv6"):
        world.call("AttachStaticIp", staticIpName="second", instanceName="other")


def test_releasing_what_is_attached_detaches_it(world: World) -> None:
    world.instance()
    before = shown(world)
    allocate(world)
    world.call("AttachStaticIp", staticIpName="addr", instanceName="web")
    ended = world.call("ReleaseStaticIp", staticIpName="addr")["operations"]
    assert [(op["operationType"], op["resourceName"]) for op in ended] == [
        ("DetachStaticIp", "addr"),
        ("DetachStaticIp", "web"),
        ("ReleaseStaticIp", "addr"),
    ]
    assert shown(world) == before


def test_a_static_ip_outlives_its_instance(world: World) -> None:
    world.instance()
    address = allocate(world)["ipAddress"]
    world.call("AttachStaticIp", staticIpName="addr", instanceName="web")
    ended = world.call("DeleteInstance", instanceName="web")["operations"]
    assert [op["operationType"] for op in ended].count("DetachStaticIp") == 2
    world.settle()
    (left,) = world.call("GetStaticIps")["staticIps"]
    assert (left["ipAddress"], left["isAttached"], left["attachedTo"]) == (address, False, None)
    world.instance()
    assert shown(world)["isStaticIp"] is False
    world.call("AttachStaticIp", staticIpName="addr", instanceName="web")
    assert shown(world)["publicIpAddress"] == address


def test_the_tag_tells_where_the_machine_is(world: World) -> None:
    world.instance(tags=[{"key": "mooring:address", "value": "10.1.2.3"}])
    assert shown(world)["publicIpAddress"] == shown(world)["privateIpAddress"] == "10.1.2.3"
    world.call("UntagResource", resourceName="web", tagKeys=["mooring:address"])
    assert shown(world)["publicIpAddress"] != "10.1.2.3"
    wrong = [{"key": "mooring:address", "value": "host.example"}]
    with pytest.raises(InvalidInputException, match="must be an IPv4 address"):
        world.call("TagResource", resourceName="web", tags=wrong)
    world.disk("data")
    with pytest.raises(InvalidInputException, match="belongs on a resource of the type Instance"):
        world.call("TagResource", resourceName="data", tags=wrong)


@pytest.mark.parametrize(
    ("blueprint", "user"),
    [
        ("amazon_linux_2023", "ec2-user"),
        ("centos_7_2009_01", "centos"),
        ("debian_12", "admin"),
        ("external", None),
        ("mean", "bitnami"),
        ("ubuntu_26_04", "ubuntu"),
        ("windows_server_2022", "Administrator"),
    ],
)
def test_the_user_is_the_blueprints(world: World, blueprint: str, user: str | None) -> None:
    world.instance(blueprint=blueprint)
    assert shown(world)["username"] == user


def test_a_key_bound_to_tags_has_its_own(world: World) -> None:
    for name, tags in (("ours", TAGS), ("theirs", [])):
        world.instance(name, tags=tags)
    allocate(world, "their-addr")
    allocate(world, "our-addr", access=DB)
    own = world.call("GetStaticIps", access=DB)["staticIps"]
    assert [one["name"] for one in own] == ["our-addr"]
    assert len(world.call("GetStaticIps")["staticIps"]) == 2
    for params in (
        {"staticIpName": "their-addr", "instanceName": "ours"},
        {"staticIpName": "our-addr", "instanceName": "theirs"},
    ):
        with pytest.raises(AccessDeniedException):
            world.call("AttachStaticIp", access=DB, **params)
    world.call("AttachStaticIp", staticIpName="their-addr", instanceName="ours")
    with pytest.raises(AccessDeniedException, match="the static IP attached to the instance"):
        world.call("DeleteInstance", access=DB, instanceName="ours")
    world.call("TagResource", resourceName="their-addr", tags=TAGS)
    world.call("DeleteInstance", access=DB, instanceName="ours")
    reader = Access("eyes", Role.READ_ONLY)
    with pytest.raises(AccessDeniedException, match="read-only"):
        allocate(world, "third", access=reader)


def test_asking_again_allocates_once(world: World) -> None:
    first = world.call("AllocateStaticIp", staticIpName="addr", invocation="one")
    assert world.call("AllocateStaticIp", staticIpName="addr", invocation="one") == first
    assert len(world.call("GetStaticIps")["staticIps"]) == 1
