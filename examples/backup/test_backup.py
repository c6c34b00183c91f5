"""The fixtures `mooring_server` and `lightsail` come with mooring-disks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from backup import BackupError, back_up, prune

from mooring.testing.server import MooringServer


@pytest.fixture
def disk(lightsail: Any) -> str:
    lightsail.create_disk(diskName="data", sizeInGb=8, availabilityZone="us-east-1a")
    while lightsail.get_disk(diskName="data")["disk"]["state"] == "pending":
        time.sleep(0.01)
    return "data"


def test_a_backup_is_a_completed_snapshot(lightsail: Any, disk: str) -> None:
    name = back_up(disk)
    snapshot = lightsail.get_disk_snapshot(diskSnapshotName=name)["diskSnapshot"]
    assert (snapshot["state"], snapshot["fromDiskName"]) == ("completed", disk)


def test_the_newest_are_kept(lightsail: Any, disk: str) -> None:
    names = [back_up(disk) for _ in range(3)]
    lightsail.create_disk_snapshot(diskName=disk, diskSnapshotName="by-hand")
    assert prune(disk, keep=2) == names[:1]
    left = {one["name"] for one in lightsail.get_disk_snapshots()["diskSnapshots"]}
    assert left == {*names[1:], "by-hand"}


def test_one_that_takes_too_long(mooring_server: MooringServer, disk: str) -> None:
    mooring_server.hold(disk)
    with pytest.raises(BackupError, match="still 40% stored"):
        back_up(disk, patience=0.1, pause=0.01)


def test_one_that_fails(mooring_server: MooringServer, disk: str) -> None:
    mooring_server.fail(disk, reason="the store is out of order")
    with pytest.raises(BackupError, match="the store is out of order"):
        back_up(disk)


def test_an_answer_that_is_lost(mooring_server: MooringServer, lightsail: Any, disk: str) -> None:
    mooring_server.lose_answer("CreateDiskSnapshot")
    back_up(disk)
    assert len(lightsail.get_disk_snapshots()["diskSnapshots"]) == 1, "boto3 asked twice"


def test_a_week_of_automatic_snapshots(
    mooring_server: MooringServer, lightsail: Any, disk: str
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=2)  # nearer ones begin a day later
    lightsail.enable_add_on(
        resourceName=disk,
        addOnRequest={
            "addOnType": "AutoSnapshot",
            "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": f"{soon:%H}:00"},
        },
    )
    mooring_server.advance(3 * 24 * 3600)
    assert len(lightsail.get_auto_snapshots(resourceName=disk)["autoSnapshots"]) == 3
    assert prune(disk, keep=0) == [], "they are not ours"
