"""The unmodified AWS SDK for JavaScript: the life of a disk, errors, retries, TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.certificates import Authority
from tests.clients.dropping_proxy import DroppingProxy
from tests.clients.javascript import JavaScript, why_missing
from tests.clients.site import SETTINGS, ZONE, Site
from tests.clients.test_tls import TLS

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(bool(why_missing()), reason=why_missing() or "it is there"),
]


@pytest.fixture(scope="module")
def js(site: Site) -> Iterator[JavaScript]:
    js = JavaScript(site.environment)
    yield js
    js.close()


def until(ask: Callable[[], Any], wanted: Any) -> None:
    for _ in range(600):
        if ask() == wanted:
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"{ask()} does not become {wanted}")


def test_the_life_of_a_disk(site: Site, js: JavaScript) -> None:
    disk, snap, again = site.fresh("disk"), site.fresh("snap"), site.fresh("disk")
    tags = [{"key": "env", "value": "test"}, {"key": "alone"}]
    place: dict[str, Any] = {"availabilityZone": ZONE, "sizeInGb": 8}

    reply = js.ask("CreateDisk", diskName=disk, tags=tags, **place)
    assert reply["dates"], "the times of operations are dates"
    (operation,) = reply["result"]["operations"]
    done = lambda: js.call("GetOperation", operationId=operation["id"])["operation"]["status"]  # noqa: E731
    until(done, "Succeeded")
    shown = js.call("GetDisk", diskName=disk)["disk"]
    assert (shown["state"], shown["sizeInGb"]) == ("available", 8)
    assert {tag["key"]: tag.get("value") for tag in shown["tags"]} == {"env": "test", "alone": None}
    js.call("CreateDiskSnapshot", diskName=disk, diskSnapshotName=snap)
    until(
        lambda: js.call("GetDiskSnapshot", diskSnapshotName=snap)["diskSnapshot"]["state"],
        "completed",
    )
    js.call("CreateDiskFromSnapshot", diskName=again, diskSnapshotName=snap, **place)
    until(lambda: js.call("GetDisk", diskName=again)["disk"]["state"], "available")
    for operation_name, params in (
        ("DeleteDisk", {"diskName": disk}),
        ("DeleteDiskSnapshot", {"diskSnapshotName": snap}),
    ):
        assert js.call(operation_name, **params)["operations"][0]["status"] == "Succeeded"


def test_pages(site: Site, js: JavaScript) -> None:
    token, seen = None, []
    while True:
        page = js.call("GetActiveNames", **({"pageToken": token} if token else {}))
        seen += page["activeNames"]
        token = page.get("nextPageToken")
        if token is None:
            break

    assert len(seen) == len(set(seen))
    assert set(site.call("GetActiveNames")["activeNames"]) <= set(seen)


@pytest.mark.parametrize(
    ("operation", "params", "name", "code"),
    [
        ("GetDisk", {"diskName": "nope"}, "NotFoundException", "DoesNotExist"),
        (
            "CreateDisk",
            {"diskName": "small", "availabilityZone": ZONE, "sizeInGb": 1},
            "InvalidInputException",
            "InvalidParams",
        ),
        ("GetCostEstimate", {}, "InvalidInputException", "UnsupportedOperation"),
    ],
)
def test_errors_are_of_their_class(
    js: JavaScript, operation: str, params: dict[str, Any], name: str, code: str
) -> None:
    error = js.ask(operation, **params)["error"]

    assert (error["name"], error["code"], error["status"]) == (name, code, 400)
    assert error["modelled"]
    assert error["ofItsClass"]
    assert error["message"]


def test_wrong_keys(js: JavaScript) -> None:
    keys = {"accessKeyId": "AKIANOBODY", "secretAccessKey": "x"}

    error = js.ask("GetDisks", client={"credentials": keys})["error"]

    assert error["name"] == "UnrecognizedClientException"


def test_a_lost_answer_comes_again(site: Site, js: JavaScript) -> None:
    disk, snap = site.disk(), site.fresh("snap")
    proxy = DroppingProxy(site.url, 1)
    try:
        reply = js.ask(
            "CreateDiskSnapshot",
            client={"endpoint": proxy.url},
            diskName=disk,
            diskSnapshotName=snap,
        )
    finally:
        proxy.close()

    assert len(proxy.requests) == 2
    recorded = site.call("GetOperationsForResource", resourceName=snap)["operations"]
    assert [one["id"] for one in recorded] == [reply["result"]["operations"][0]["id"]]


THROTTLED = "\n[throttle]\nuser_rate = 1\nuser_burst = 3\n"


def test_it_waits_when_it_is_throttled(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    site = Site(data, SETTINGS + THROTTLED)
    js = JavaScript(site.environment)
    try:
        replies = [js.ask("GetRegions", client={"maxAttempts": 10}) for _ in range(6)]
        refused = [js.ask("GetRegions", client={"maxAttempts": 1}) for _ in range(6)]
    finally:
        js.close()
        site.close()

    assert all("result" in reply for reply in replies)
    errors = [reply["error"]["name"] for reply in refused if "error" in reply]
    assert set(errors) == {"ThrottlingException"}
    assert len(errors) >= 3


def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.sign(tmp_path / "certificate.pem", tmp_path / "key.pem")
    data = tmp_path / "data"
    data.mkdir()
    site = Site(data, SETTINGS + TLS.format(folder=tmp_path), authority.bundle)
    js = JavaScript(site.environment)
    stranger = JavaScript({**site.environment, "AWS_CA_BUNDLE": ""})
    try:
        assert js.call("GetDisks")["disks"] == []
        assert "certificate" in stranger.ask("GetDisks")["error"]["message"]
    finally:
        js.close()
        stranger.close()
        site.close()
