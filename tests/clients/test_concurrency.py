"""Many callers at once: one wins, the others are told why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.clients.boto import SECONDS, Reply
from tests.clients.site import ZONE, Site

pytestmark = pytest.mark.full

CALLERS = 20


def at_once(site: Site, operation: str, *each: Mapping[str, Any]) -> list[Reply]:
    calls = [site.boto.begin(operation, params) for params in each]
    return [call.result(SECONDS) for call in calls]


def outcomes(replies: list[Reply]) -> Counter[str]:
    return Counter("done" if one.error is None else one.error.body_code for one in replies)


def one_wins(replies: list[Reply]) -> None:
    assert outcomes(replies) == {"done": 1, "NameExists": CALLERS - 1}
    for reply in replies:
        if reply.error is None:
            reply.get()
        else:
            assert reply.error.message.startswith("Some names are already in use: ")


def test_one_disk_of_a_name(site: Site) -> None:
    name = site.fresh("disk")

    params = {"diskName": name, "availabilityZone": ZONE, "sizeInGb": 8}
    one_wins(at_once(site, "CreateDisk", *[params] * CALLERS))

    site.disk_is(name, state="available")
    assert len(site.call("GetOperationsForResource", resourceName=name)["operations"]) == 1


def test_one_snapshot_of_a_name(site: Site) -> None:
    disks, name = [site.disk() for _ in range(CALLERS)], site.fresh("snap")

    each = [{"diskName": disk, "diskSnapshotName": name} for disk in disks]
    one_wins(at_once(site, "CreateDiskSnapshot", *each))

    site.snapshot_is(name, "completed")
    assert len(site.call("GetOperationsForResource", resourceName=name)["operations"]) == 1


def test_one_of_two_types_of_a_name(site: Site) -> None:
    name = site.fresh("either")
    disk = {"diskName": name, "availabilityZone": ZONE, "sizeInGb": 8}
    web = {
        "instanceNames": [name],
        "availabilityZone": ZONE,
        "blueprintId": "external",
        "bundleId": "external",
    }
    calls = [
        call
        for _ in range(CALLERS // 2)
        for call in (site.boto.begin("CreateDisk", disk), site.boto.begin("CreateInstances", web))
    ]

    one_wins([call.result(SECONDS) for call in calls])

    assert site.active_names().count(name) == 1


def test_many_snapshots_of_one_disk_each_stored_or_refused(site: Site) -> None:
    disk = site.disk()
    names = [site.fresh("snap") for _ in range(CALLERS)]

    replies = at_once(
        site,
        "CreateDiskSnapshot",
        *[{"diskName": disk, "diskSnapshotName": name} for name in names],
    )

    found = outcomes(replies)
    assert found.keys() <= {"done", "PendingSnapshotLimitExceeded"}
    assert found["done"] >= 5
    for name, reply in zip(names, replies, strict=True):
        if reply.error is None:
            site.snapshot_is(name, "completed")
        else:
            assert "Please wait for it to complete before trying again" in reply.error.message


def test_a_disk_is_attached_once(site: Site) -> None:
    disk = site.disk()
    instances = [site.instance() for _ in range(6)]

    replies = at_once(
        site,
        "AttachDisk",
        *[
            {"diskName": disk, "instanceName": instance, "diskPath": "/dev/xvdf"}
            for instance in instances
        ],
    )

    assert outcomes(replies) == {"done": 1, "OperationFailure": len(instances) - 1}
    (winner,) = [
        instance for instance, reply in zip(instances, replies, strict=True) if reply.error is None
    ]
    assert site.disk_is(disk, attachmentState="attached")["attachedTo"] == winner


def test_a_disk_is_deleted_once(site: Site) -> None:
    disk = site.disk()

    replies = at_once(site, "DeleteDisk", *[{"diskName": disk}] * CALLERS)

    assert outcomes(replies) == {"done": 1, "DoesNotExist": CALLERS - 1}
