"""Who gets an answer from a server for development: programs of its host, no pages."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from mooring.testing.server import MooringServer
from tests.development.conftest import MakeClient
from tests.development.waiting import ended, make_disk


def _status(server: MooringServer, headers: dict[str, str], path: str = "/mooring/reset") -> int:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request("POST", path, b"{}", {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_any_key_and_any_region(client: MakeClient) -> None:
    for region in ("us-east-1", "ap-southeast-7", "mars-north-1"):
        lightsail = client(region, f"AKIA{region}")
        make_disk(lightsail)
        zone = lightsail.get_disk(diskName="disk-1")["disk"]["location"]["availabilityZone"]
        assert zone == f"{region}a"
    regions = {one["name"] for one in client().get_regions()["regions"]}
    assert regions == {"us-east-1", "ap-southeast-7", "mars-north-1"}


def test_regions_come_to_an_end(client: MakeClient) -> None:
    for number in range(99):
        client(f"region-{number}").get_disks()
    with pytest.raises(Exception, match="one too many"):
        client("region-99").get_disks()
    assert client("region-7").get_disks()["disks"] == []


def test_copies_between_regions(client: MakeClient) -> None:
    here, there = client("us-east-1"), client("eu-west-3")
    make_disk(here)
    here.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")
    assert ended(here, "snap-1")["state"] == "completed"
    there.copy_snapshot(
        sourceSnapshotName="snap-1", targetSnapshotName="copy-1", sourceRegion="us-east-1"
    )
    assert ended(there, "copy-1")["state"] == "completed"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:8470"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Host": "169.254.169.254"},
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.attacker.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_a_browser_changes_nothing(
    server: MooringServer, client: MakeClient, headers: dict[str, str]
) -> None:
    make_disk(client())
    assert _status(server, headers) == 403
    target = {"X-Amz-Target": "Lightsail_20161128.GetDisks", **headers}
    assert _status(server, target, "/") == 403
    assert len(client().get_disks()["disks"]) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:1"},
        {"Host": "127.8.9.1"},
        {"Host": "[::1]:8470"},
        {"Origin": "http://localhost:3000"},
    ],
)
def test_programs_of_this_host_are_answered(server: MooringServer, headers: dict[str, str]) -> None:
    assert _status(server, headers) == 200


def test_a_form_changes_nothing(server: MooringServer) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert _status(server, form) == 400


def test_whoever_does_not_sign_is_answered(server: MooringServer) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "Lightsail_20161128.GetDisks",
    }
    connection.request("POST", "/", b"{}", headers)
    assert json.load(connection.getresponse()) == {"disks": []}
    connection.close()


def test_it_says_whether_it_is_ready(server: MooringServer, client: MakeClient) -> None:
    client("eu-west-1").get_disks()
    for path in ("/healthz", "/readyz"):
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        told = answer.read().decode()
        connection.close()
        assert answer.status == 200, told
        assert "ok" in told
