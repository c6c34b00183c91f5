"""Answers that are lost on the way, and boto3's own retries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.clients.dropping_proxy import DroppingProxy, header
from tests.clients.site import ZONE, Site

pytestmark = pytest.mark.full

OpenProxy = Callable[[int], DroppingProxy]


@pytest.fixture
def open_proxy(site: Site) -> Iterator[OpenProxy]:
    opened: list[DroppingProxy] = []

    def open_one(lost: int) -> DroppingProxy:
        opened.append(DroppingProxy(site.url, lost))
        return opened[-1]

    yield open_one
    for proxy in opened:
        proxy.close()


def through(site: Site, proxy: DroppingProxy, operation: str, **params: Any) -> Mapping[str, Any]:
    client = {"endpoint": proxy.url, "attempts": 4}
    result: Mapping[str, Any] = site.boto.reply(operation, params, client=client).get()
    tries = len(proxy.requests)
    assert result["ResponseMetadata"]["RetryAttempts"] == tries - 1
    ids = {header(request, b"amz-sdk-invocation-id") for request in proxy.requests}
    assert len(ids) == 1
    assert b"" not in ids
    return result


@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_snapshot_is_not_taken_twice(site: Site, open_proxy: OpenProxy, lost: int) -> None:
    disk, name = site.disk(), site.fresh("snap")
    proxy = open_proxy(lost)

    result = through(site, proxy, "CreateDiskSnapshot", diskName=disk, diskSnapshotName=name)

    assert len(proxy.requests) == lost + 1
    site.snapshot_is(name, "completed")
    recorded = site.call("GetOperationsForResource", resourceName=name)["operations"]
    assert [one["id"] for one in recorded] == [result["operations"][0]["id"]]
    listed = site.call("GetDiskSnapshots")["diskSnapshots"]
    assert [one["name"] for one in listed if one["fromDiskName"] == disk] == [name]


def test_whatever_changes_something_can_be_asked_again(site: Site, open_proxy: OpenProxy) -> None:
    name, web = site.fresh("disk"), site.fresh("web")
    lost: list[tuple[str, Mapping[str, Any]]] = [
        ("CreateDisk", {"diskName": name, "availabilityZone": ZONE, "sizeInGb": 8}),
        (
            "CreateInstances",
            {
                "instanceNames": [web],
                "availabilityZone": ZONE,
                "blueprintId": "external",
                "bundleId": "external",
            },
        ),
        ("TagResource", {"resourceName": name, "tags": [{"key": "k"}]}),
        ("AttachDisk", {"diskName": name, "instanceName": web, "diskPath": "/dev/xvdf"}),
        ("DetachDisk", {"diskName": name}),
        ("StopInstance", {"instanceName": web}),
        ("StartInstance", {"instanceName": web}),
        ("UntagResource", {"resourceName": name, "tagKeys": ["k"]}),
        ("DeleteInstance", {"instanceName": web}),
        ("DeleteDisk", {"diskName": name}),
    ]

    for operation, params in lost:
        proxy = open_proxy(1)
        result = through(site, proxy, operation, **params)
        assert len(proxy.requests) == 2
        assert {one["status"] for one in site.ended(result)} == {"Succeeded"}

    operations = site.call("GetOperationsForResource", resourceName=name)["operations"]
    assert len(operations) == 6
    assert not {name, web} & set(site.call("GetActiveNames")["activeNames"])


def test_another_call_with_the_same_name_is_not_a_retry(site: Site, open_proxy: OpenProxy) -> None:
    disk, name = site.disk(), site.fresh("snap")
    through(site, open_proxy(1), "CreateDiskSnapshot", diskName=disk, diskSnapshotName=name)

    again = site.boto.reply("CreateDiskSnapshot", {"diskName": disk, "diskSnapshotName": name})

    assert again.error is not None
    assert again.error.body_code == "NameExists"


def test_an_error_that_is_lost_comes_again(site: Site, open_proxy: OpenProxy) -> None:
    proxy = open_proxy(1)
    client = {"endpoint": proxy.url, "attempts": 4}

    reply = site.boto.reply("DeleteDisk", {"diskName": "nope"}, client=client)

    assert reply.error is not None
    assert reply.error.type == "NotFoundException"
    assert len(proxy.requests) == 2
