"""Pages through boto3's own paginators."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from tests.clients.boto import SECONDS, Boto, Refused, Reply

pytestmark = pytest.mark.full

REGION = {"region": "eu-west-1"}
"""Only these tests use it, so that they know what is in it."""

COUNT = 205


@pytest.fixture(scope="module")
def names(site_boto: Boto) -> list[str]:
    """Two full pages of instances and a bit, in the order of their making."""
    names = [f"web-{number:03}" for number in range(COUNT)]
    params = {"availabilityZone": "eu-west-1a", "blueprintId": "external", "bundleId": "external"}
    for first in range(0, COUNT, 20):
        some = {"instanceNames": names[first : first + 20], **params}
        site_boto.reply("CreateInstances", some, client=REGION).get()
    return names


@pytest.fixture(scope="module")
def site_boto(site: Any) -> Boto:
    boto: Boto = site.boto
    return boto


def pages(
    boto: Boto, operation: str, params: Mapping[str, Any] | None = None, **options: Any
) -> list[Any]:
    reply = boto.reply(operation, params or {}, client=REGION, paginate=options)
    return list(reply.get())


def test_instances_come_in_the_order_of_their_making(names: list[str], site_boto: Boto) -> None:
    found = pages(site_boto, "GetInstances")

    assert [len(page["instances"]) for page in found] == [100, 100, 5]
    assert ["nextPageToken" in page for page in found] == [True, True, False]
    assert [one["name"] for page in found for one in page["instances"]] == names


def test_names_come_in_alphabetical_order(names: list[str], site_boto: Boto) -> None:
    found = pages(site_boto, "GetActiveNames")

    assert [name for page in found for name in page["activeNames"]] == names


def test_operations_come_newest_first(names: list[str], site_boto: Boto) -> None:
    found = pages(site_boto, "GetOperations")

    resources = [one["resourceName"] for page in found for one in page["operations"]]
    assert resources == names[::-1]


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("GetDiskSnapshots", "diskSnapshots"),
        ("GetDisks", "disks"),
    ],
)
def test_a_list_without_entries_is_one_page(
    names: list[str], site_boto: Boto, operation: str, member: str
) -> None:
    (page,) = pages(site_boto, operation)

    assert page[member] == []
    assert "nextPageToken" not in page


@pytest.mark.parametrize("operation", ["GetBlueprints", "GetBundles"])
def test_catalogs_end(site_boto: Boto, operation: str) -> None:
    assert "nextPageToken" not in pages(site_boto, operation)[-1]


def test_clients_can_stop_and_go_on(names: list[str], site_boto: Boto) -> None:
    (first, second) = pages(site_boto, "GetInstances", MaxItems=150)

    assert len(first["instances"]) + len(second["instances"]) == 150
    token = {"pageToken": first["nextPageToken"]}
    rest = site_boto.reply("GetInstances", token, client=REGION).get()
    assert rest["instances"][0]["name"] == names[100]


def test_what_is_deleted_meanwhile_moves_no_entry(site_boto: Boto) -> None:
    disks = [f"disk-{number:03}" for number in range(130)]
    client = {"region": "eu-north-1"}
    params = {"availabilityZone": "eu-north-1a", "sizeInGb": 8}
    made: list[Future[Reply]] = [
        site_boto.begin("CreateDisk", {"diskName": name, **params}, client=client) for name in disks
    ]
    for one in made:
        one.result(SECONDS).get()
    first = site_boto.reply("GetDisks", {}, client=client).get()
    for disk in first["disks"][40:60]:
        site_boto.reply("DeleteDisk", {"diskName": disk["name"]}, client=client).get()

    token = {"pageToken": first["nextPageToken"]}
    second = site_boto.reply("GetDisks", token, client=client).get()

    seen = [disk["name"] for page in (first, second) for disk in page["disks"]]
    assert sorted(seen) == disks


@pytest.mark.parametrize("token", ["x", "MTIz" * 20, "LTE=", "AAAA", "é"])
def test_tokens_of_somebody_else(site_boto: Boto, token: str) -> None:
    for operation in ("GetDisks", "GetOperations", "GetBundles"):
        error = site_boto.reply(operation, {"pageToken": token}, client=REGION).error
        assert isinstance(error, Refused)
        assert error.type == "InvalidInputException"
        assert "page token is invalid" in error.message
