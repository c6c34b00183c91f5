"""Settings that take a zone or region away: told; the rest is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.health.doctor import doctor
from mooring.config.settings import Region, Settings
from mooring.jobs.recover import recover
from mooring.model.errors import OperationFailureException
from mooring.observe import metrics
from mooring.service.absence import tell_absent
from tests.admin.servers import REGION, ZONE, Server, running, settings_at

OTHER = "us-east-2b"
PLACE: dict[str, Any] = {"availabilityZone": ZONE, "sizeInGb": 8}
INSTANCE: dict[str, Any] = {
    "availabilityZone": ZONE,
    "blueprintId": "external",
    "bundleId": "external",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory with a disk of either zone, an instance and a snapshot."""
    one = settings_at(tmp_path / "data", tmp_path / "vault")
    region = Region(zones=[ZONE, OTHER], vault=str(tmp_path / "vault"))
    both = replace(one, regions={REGION: region})
    with running(both) as server:
        server.call("CreateDisk", diskName="da", **PLACE)
        server.call("CreateDisk", diskName="db", availabilityZone=OTHER, sizeInGb=8)
        server.call("CreateInstances", instanceNames=["web"], **INSTANCE)
        server.settle()
        server.call("CreateDiskSnapshot", diskName="da", diskSnapshotName="s1")
        server.settle()
    return both


def without_zone(settings: Settings) -> Settings:
    region = replace(settings.regions[REGION], zones=[OTHER])
    return replace(settings, regions={REGION: region})


def started(server: Server, *, threads: bool = False) -> None:
    """Start it; disks in memory, which do not outlive their server, are made anew.

    Without threads jobs run in `settle` alone.
    """
    backend = server.mooring.backend
    with backend.catalog.read() as transaction:
        for disk in transaction.disks.all():
            if disk.zone in backend.engines:
                backend.engines[disk.zone].create(disk.id, disk.size_gb << 30)
    if threads:
        server.mooring.start()
    else:
        tell_absent(server.mooring.backend)
        recover(backend)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("DeleteDisk", {"diskName": "da"}),
        ("CreateDiskSnapshot", {"diskName": "da", "diskSnapshotName": "s2"}),
        ("AttachDisk", {"diskName": "da", "instanceName": "web", "diskPath": "/dev/xvdf"}),
        ("StopInstance", {"instanceName": "web"}),
        ("RebootInstance", {"instanceName": "web"}),
        ("DeleteInstance", {"instanceName": "web"}),
        ("CreateInstanceSnapshot", {"instanceName": "web", "instanceSnapshotName": "all"}),
    ],
)
def test_changes_are_refused_with_the_reason(
    settings: Settings, operation: str, params: dict[str, str]
) -> None:
    with running(without_zone(settings)) as server:
        started(server, threads=True)
        with pytest.raises(OperationFailureException, match=f"zone {ZONE} is not in the settings"):
            server.call(operation, **params)


def test_the_rest_is_served_and_all_comes_back(settings: Settings) -> None:
    with running(without_zone(settings)) as server:
        started(server)
        disks = {one["name"]: one["state"] for one in server.call("GetDisks")["disks"]}
        assert disks == {"da": "unknown", "db": "available"}
        server.call("CreateDiskSnapshot", diskName="db", diskSnapshotName="s2")
        server.call("DeleteDiskSnapshot", diskSnapshotName="s1")
        server.settle()
        assert f'mooring_disks_not_served{{zone="{ZONE}"}} 1.0' in metrics.text().decode()
    with running(settings) as server:
        started(server)
        disks = {one["name"]: one["state"] for one in server.call("GetDisks")["disks"]}
        assert disks == {"da": "available", "db": "available"}
        server.call("StopInstance", instanceName="web")
        server.settle()


def test_what_waits_goes_on_when_the_zone_is_back(settings: Settings) -> None:
    with running(settings) as server:
        server.call("StopInstance", instanceName="web")
    with running(without_zone(settings)) as server:
        server.settle()
        assert server.call("GetInstanceState", instanceName="web")["state"]["name"] == "stopping"
    with running(settings) as server:
        with server.mooring.backend.catalog.write() as transaction:
            (job,) = transaction.jobs.all()
            transaction.jobs.record(replace(job, not_before_ms=0), release=True)
        server.settle()
        assert server.call("GetInstanceState", instanceName="web")["state"]["name"] == "stopped"


@pytest.mark.requires("qemu-storage-daemon", "qemu-img")
def test_doctor_names_the_disks(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(without_zone(settings)) == 1
    told = capsys.readouterr().out
    assert f"the zone {ZONE} has 1 disk (da) and 1 instance but is not in the settings" in told

    regions = {"us-west-2": Region(zones=["us-west-2a"], vault=settings.regions[REGION].vault)}
    assert doctor(replace(settings, regions=regions)) == 1
    told = capsys.readouterr().out
    assert f"the zone {OTHER} has 1 disk (db) but is not in the settings" in told
    assert f"the region {REGION} has 1 snapshot but is not in the settings" in told


def test_a_zone_that_moved_to_another_region_is_there(settings: Settings) -> None:
    vault = settings.regions[REGION].vault
    regions = {
        REGION: Region(zones=[OTHER], vault=vault),
        "us-west-2": Region(zones=[ZONE], vault=f"{vault}-west"),
    }
    with running(replace(settings, regions=regions)) as server:
        started(server)
        server.call("CreateDiskSnapshot", diskName="da", diskSnapshotName="s2")
        server.settle()
        (one,) = [s for s in server.call("GetDiskSnapshots")["diskSnapshots"] if s["name"] == "s2"]
        assert one["state"] == "completed"
