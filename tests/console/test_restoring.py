"""What can be got back of disks that are gone."""

from __future__ import annotations

import pytest

from tests.console.site import Site, Visitor

HOME = "/console/us-east-2/"


@pytest.fixture
def operator(site: Site) -> Visitor:
    """Of a disk that is gone there is a snapshot."""
    site.world.disk("data")
    site.world.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="last")
    site.world.settle()
    site.world.call("DeleteDisk", diskName="data")
    site.world.settle()
    return site.visitor("operator")


def test_a_snapshot_outlives_its_disk_and_gives_it_back(site: Site, operator: Visitor) -> None:
    assert "data, which is gone" in operator.see(f"{HOME}snapshot?name=last")
    page = operator.see(f"{HOME}restore?disk=data&snapshot=last&to=disk")
    assert "set back" not in page
    assert "--disk-snapshot-name last" in page

    reply = operator.post(
        f"{HOME}restore",
        disk="data",
        snapshot="last",
        to="disk",
        name="data",
        zone="us-east-2a",
        size="8",
    )

    assert reply.headers["location"] == f"{HOME}disk?name=data&done=made"
    site.world.settle()
    assert site.world.call("GetDisk", diskName="data")["disk"]["state"] == "available"


def test_it_can_be_copied_and_deleted(site: Site, operator: Visitor) -> None:
    operator.get(f"{HOME}restore?disk=data&snapshot=last&to=region")
    copied = operator.post(
        f"{HOME}restore", disk="data", snapshot="last", to="region", name="far", region="us-west-2"
    )
    assert copied.headers["location"] == f"{HOME}activity?done=copied"
    site.world.settle()
    far = site.world.call("GetDiskSnapshot", diskSnapshotName="far", region="us-west-2")
    assert far["diskSnapshot"]["state"] == "completed"

    deleted = operator.post(f"{HOME}delete", name="last")
    assert deleted.headers["location"] == f"{HOME}disks?done=deleted"
    assert operator.get(f"{HOME}snapshot?name=last").status == 404


def test_nothing_of_nothing_is_restored(site: Site, operator: Visitor) -> None:
    assert operator.get(f"{HOME}restore?disk=data").status == 404
    assert operator.get(f"{HOME}restore?disk=data&snapshot=now").status == 404
    assert operator.get(f"{HOME}restore?disk=data&snapshot=other").status == 404
    for form in ({"to": ""}, {"to": "disk", "size": "x", "snapshot": "last"}):
        assert operator.post(f"{HOME}restore", None, disk="data", **form).status == 400
    wrong = operator.post(
        f"{HOME}restore", disk="data", snapshot="last", to="region", name="far", region="mars"
    )
    assert wrong.status == 400
