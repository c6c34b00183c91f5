"""Snapshots held and failing, lost answers, and time, as a test asks for them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ConnectionClosedError

from mooring.api.own import ONLY_IN_DEVELOPMENT
from mooring.development.requests import requests
from mooring.testing.server import MooringServer, MooringServerError
from tests.development.conftest import MakeClient
from tests.development.waiting import ended, make_disk

DAY = 24 * 3600


def test_a_snapshot_is_held_until_it_is_released(server: MooringServer, client: MakeClient) -> None:
    lightsail = client()
    make_disk(lightsail)
    make_disk(lightsail, "disk-2")
    server.hold("snap-1")
    lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")
    lightsail.create_disk_snapshot(diskName="disk-2", diskSnapshotName="other")

    assert ended(lightsail, "other")["state"] == "completed"
    held = lightsail.get_disk_snapshot(diskSnapshotName="snap-1")["diskSnapshot"]
    assert (held["state"], held["progress"]) == ("pending", "40%")

    server.release("snap-1")
    assert ended(lightsail, "snap-1")["state"] == "completed"


def test_all_snapshots_of_a_disk_are_held(server: MooringServer, client: MakeClient) -> None:
    lightsail = client()
    make_disk(lightsail)
    server.hold("disk-1", percent=7)
    server.lose_answer("CreateDiskSnapshot", times=1)  # held all the same
    with pytest.raises(ConnectionClosedError):
        lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")
    seen = set()
    while "7%" not in seen:
        found = lightsail.get_disk_snapshot(diskSnapshotName="snap-1")["diskSnapshot"]
        assert found["state"] == "pending"
        seen.add(found["progress"])
    lightsail.delete_disk_snapshot(diskSnapshotName="snap-1")
    assert not lightsail.get_disk_snapshots()["diskSnapshots"]


def test_a_snapshot_fails_with_the_reason_given(server: MooringServer, client: MakeClient) -> None:
    lightsail = client()
    make_disk(lightsail)
    server.fail("disk-1", reason="the store is out of order")
    begun = lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")

    assert ended(lightsail, "snap-1")["state"] == "error"
    operation = lightsail.get_operation(operationId=begun["operations"][0]["id"])["operation"]
    assert operation["status"] == "Failed"
    assert operation["errorDetails"] == "the store is out of order"
    # It was for one.
    lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-2")
    assert ended(lightsail, "snap-2")["state"] == "completed"


def test_one_that_is_held_can_fail(server: MooringServer, client: MakeClient) -> None:
    lightsail = client()
    make_disk(lightsail)
    server.hold()
    lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")
    server.fail("snap-1", reason="interrupted")
    assert ended(lightsail, "snap-1")["state"] == "error"


def test_the_change_whose_answer_is_lost_was_made(
    server: MooringServer, client: MakeClient
) -> None:
    lightsail = client(tries=1)
    server.lose_answer("CreateDisk")
    with pytest.raises(ConnectionClosedError):
        make_disk(lightsail)
    assert lightsail.get_disk(diskName="disk-1")["disk"]["name"] == "disk-1"


def test_a_client_that_tries_again_gets_the_answer_that_was_lost(
    server: MooringServer, client: MakeClient
) -> None:
    lightsail = client(tries=3)
    server.lose_answer("CreateDisk", times=2)
    make_disk(lightsail)
    assert len(lightsail.get_disks()["disks"]) == 1


def test_an_operation_that_there_is_not(server: MooringServer) -> None:
    with pytest.raises(MooringServerError, match="Did you mean CreateDisk"):
        server.lose_answer("CreateDsk")


def test_time_goes_on_to_the_next_automatic_snapshot(
    server: MooringServer, client: MakeClient
) -> None:
    lightsail = client()
    make_disk(lightsail)
    with pytest.raises(MooringServerError, match="No automatic snapshot is to come"):
        server.advance_to_automatic_snapshot()
    lightsail.enable_add_on(
        resourceName="disk-1",
        addOnRequest={
            "addOnType": "AutoSnapshot",
            "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "06:00"},
        },
    )
    moment = datetime.fromtimestamp(server.advance_to_automatic_snapshot(), UTC)
    taken = lightsail.get_auto_snapshots(resourceName="disk-1")["autoSnapshots"]
    assert [one["date"] for one in taken] == [f"{moment:%Y-%m-%d}"]
    assert moment.hour == 6


def test_days_go_by_with_their_automatic_snapshots(
    server: MooringServer, client: MakeClient
) -> None:
    lightsail = client()
    make_disk(lightsail)
    lightsail.enable_add_on(
        resourceName="disk-1",
        addOnRequest={
            "addOnType": "AutoSnapshot",
            "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "06:00"},
        },
    )
    server.advance(10 * DAY)
    taken = lightsail.get_auto_snapshots(resourceName="disk-1")["autoSnapshots"]
    days = sorted(one["date"] for one in taken)
    assert len(days) >= 7, "the newest seven are kept, and one may be on its way out"
    assert days[-1] > days[0]


def test_time_goes_no_farther_than_snapshots_and_calendars(
    server: MooringServer, client: MakeClient
) -> None:
    for _ in range(17):
        server.advance(3650 * DAY)
    with pytest.raises(MooringServerError, match="year 2200"):
        server.advance(3650 * DAY)
    server.reset()
    lightsail = client()
    make_disk(lightsail)
    lightsail.tag_resource(
        resourceName="disk-1",
        tags=[{"key": "mooring:snapshots", "value": "every 10 minutes keep 1 hour"}],
    )
    before = server.advance_to_automatic_snapshot()
    with pytest.raises(MooringServerError, match="more than 100 moments"):
        server.advance(30 * DAY)
    # As far as it came.
    assert server.advance(0) >= before + 99 * 600


def test_a_reset_forgets_everything(server: MooringServer, client: MakeClient) -> None:
    for region in ("us-east-1", "eu-central-1"):
        make_disk(client(region))
    before = server.advance(30 * DAY)
    server.hold()
    server.fail(reason="not after the reset", times=9)
    server.lose_answer("CreateDisk", times=9)
    server.reset()

    assert not client("eu-central-1").get_disks()["disks"]
    assert server.advance(0) < before - 29 * DAY
    lightsail = client()
    make_disk(lightsail)
    lightsail.create_disk_snapshot(diskName="disk-1", diskSnapshotName="snap-1")
    assert ended(lightsail, "snap-1")["state"] == "completed"


@pytest.mark.parametrize(
    ("request_name", "members", "told"),
    [
        ("hold", {"percent": 100}, "percent must be a whole number from 0 to 99"),
        ("hold", {"resourceName": ""}, "leave it out"),
        ("fail", {"times": 0}, "times must be a whole number from 1"),
        ("advance", {}, "either seconds or toNextAutomaticSnapshot"),
        ("advance", {"seconds": -1}, "seconds must be a whole number from 0"),
        ("lose", {}, "operation is required"),
    ],
)
def test_what_makes_no_sense(
    server: MooringServer, request_name: str, members: dict[str, object], told: str
) -> None:
    with pytest.raises(MooringServerError, match=told):
        server._ask(request_name, **members)


def test_other_servers_know_that_these_are_for_development() -> None:
    class Anything:
        pass

    anything: object = Anything()
    names = requests(anything, lambda: None)  # type: ignore[arg-type]
    assert names.keys() == ONLY_IN_DEVELOPMENT
