"""Disks in memory and a data directory that is kept: a server started again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mooring.model.errors import NotFoundException
from tests.admin.servers import ZONE, Server, running, settings_at


def test_what_went_with_the_last_server_is_not_told_of_any_more(tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "data", tmp_path / "vault")
    with running(settings) as first:
        for name in ("stored", "pending"):
            first.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)
        first.call(
            "CreateInstances",
            instanceNames=["vm-1"],
            availabilityZone=ZONE,
            blueprintId="external",
            bundleId="external",
        )
        first.settle()
        first.call("AttachDisk", diskName="stored", instanceName="vm-1", diskPath="/dev/xvdf")
        first.call(
            "EnableAddOn",
            resourceName="stored",
            addOnRequest={
                "addOnType": "AutoSnapshot",
                "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "06:00"},
            },
        )
        first.call("CreateDiskSnapshot", diskName="stored", diskSnapshotName="snap-1")
        first.settle()
        begun = first.call("CreateDiskSnapshot", diskName="pending", diskSnapshotName="snap-2")

    for _ in range(2):
        second = Server(settings)
        try:
            second.mooring.start()
            assert second.call("GetDisks")["disks"] == []
            assert second.call("GetInstance", instanceName="vm-1")
            (operation,) = [
                second.call("GetOperation", operationId=one["id"])["operation"]
                for one in begun["operations"]
                if one["resourceName"] == "snap-2"
            ]
            assert operation["status"] == "Failed"
            assert "went with the server" in operation["errorDetails"]
            states = {
                one["name"]: one["state"]
                for one in second.call("GetDiskSnapshots")["diskSnapshots"]
            }
            assert states == {"snap-1": "completed", "snap-2": "error"}
        finally:
            second.mooring.stop()

    third = Server(settings)
    try:
        third.mooring.start()
        # The names are free, and what is stored can be used.
        third.call(
            "CreateDiskFromSnapshot",
            diskName="stored",
            diskSnapshotName="snap-1",
            availabilityZone=ZONE,
            sizeInGb=8,
        )
        end = time.monotonic() + 60
        while third.call("GetDisk", diskName="stored")["disk"]["state"] != "available":
            assert time.monotonic() < end
            time.sleep(0.02)
        with pytest.raises(NotFoundException):
            third.call("GetDisk", diskName="pending")
    finally:
        third.mooring.stop()
