"""What can be got back of disks that are gone."""

from __future__ import annotations

import re

import pytest

from mooring.jobs.automatic.due import take_due
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


# --- instances


@pytest.fixture
def whole(site: Site) -> Visitor:
    """Of the instance web with the disks data and logs there is the snapshot whole."""
    site.world.disk("data")
    site.world.disk("logs")
    site.world.instance("web")
    site.world.attach("data", "web")
    site.world.attach("logs", "web", "/dev/xvdg")
    site.world.instance_snapshot("whole", "web")
    site.world.settle()
    return site.visitor("operator")


def test_an_instance_comes_back_with_all_its_disks(site: Site, whole: Visitor) -> None:
    assert "The whole instance" in whole.see(f"{HOME}restore?disk=data")
    page = whole.see(f"{HOME}restore?disk=data&snapshot=whole/data&to=instance")
    assert "A new instance with 2 disks" in page
    assert (
        "mooring create-instances-from-snapshot --instance-names whole-again "
        "--instance-snapshot-name whole --availability-zone us-east-2a --bundle-id external"
    ) in page

    form = {"disk": "data", "snapshot": "whole/data", "to": "instance", "zone": "us-east-2b"}
    reply = whole.post(f"{HOME}restore", None, name="web-again", **form)

    assert reply.headers["location"] == f"{HOME}activity?done=instance"
    site.world.settle()
    made = site.world.call("GetInstance", instanceName="web-again")["instance"]
    assert made["location"]["availabilityZone"] == "us-east-2b"
    disks = {one["name"]: one for one in site.world.call("GetDisks")["disks"]}
    for name in ("web-again-data", "web-again-logs"):
        assert disks[name]["state"] == "in-use"
        assert disks[name]["attachedTo"] == "web-again"


def test_an_automatic_snapshot_of_an_instance_gives_it_back(site: Site, whole: Visitor) -> None:
    tags = [{"key": "mooring:snapshots", "value": "every 10 minutes keep 1 day"}]
    site.world.call("TagResource", resourceName="web", tags=tags)
    site.world.clock.advance(600)
    take_due(site.world.backend, None)
    site.world.settle()
    told = site.world.act("timeline", diskName="data")["snapshots"]
    (name,) = [one["diskSnapshotName"] for one in told if "@" in one["diskSnapshotName"]]
    when = name.partition("@")[2].removesuffix("/data")
    page = whole.see(f"{HOME}restore?disk=data&snapshot={name}&to=instance")
    assert f"--source-instance-name web --restore-date {when} --availability" in page

    form = {"disk": "data", "snapshot": name, "to": "instance", "zone": "us-east-2a"}
    assert whole.post(f"{HOME}restore", None, name="web-again", **form).status == 303
    site.world.settle()
    assert site.world.call("GetDisk", diskName="web-again-logs")["disk"]["state"] == "in-use"


def test_only_ways_that_a_snapshot_allows_are_offered(site: Site, whole: Visitor) -> None:
    page = whole.get(f"{HOME}restore?disk=data&snapshot=whole/data").text
    assert re.findall(r'name="to" value="([a-z]+)"', page) == ["file", "revert", "instance"]
    wrong = whole.see(f"{HOME}restore?disk=data&snapshot=whole/data&to=image")
    assert "was taken with all disks of its instance" in wrong
    assert "Check, and do it" not in wrong

    site.world.snapshot("alone")
    site.world.settle()
    page = whole.get(f"{HOME}restore?disk=data&snapshot=alone").text
    assert "instance" not in re.findall(r'name="to" value="([a-z]+)"', page)
    wrong = whole.see(f"{HOME}restore?disk=data&snapshot=alone&to=instance")
    assert "is of data alone" in wrong


def test_a_name_that_is_taken_is_not_offered_again(site: Site, operator: Visitor) -> None:
    for name in ("again", "again-fork", "again-fork-2"):
        site.world.disk(name)
    now = f"{HOME}restore?disk=again&snapshot=now&to=disk"
    assert "--new-disk-name again-fork-3" in operator.see(now)
    site.world.call("DeleteDisk", diskName="again-fork")
    site.world.settle()
    assert 'value="again-fork"' in operator.get(now).text


@pytest.mark.parametrize("way", ["file", "revert", "image", "region"])
def test_what_a_disk_holds_now_goes_nowhere_but_to_a_new_disk(
    site: Site, operator: Visitor, way: str
) -> None:
    site.world.disk("again")
    page = operator.see(f"{HOME}restore?disk=again&snapshot=now&to={way}")
    assert "What again holds now is in no snapshot" in page
    assert "Check, and do it" not in page
    assert "mooring fork" in operator.see(f"{HOME}restore?disk=again&snapshot=now")


@pytest.mark.parametrize(
    "page", ["disk", "snapshot", "delete", "files", "download", "restore", "lineage"]
)
def test_an_address_without_a_name_leads_to_the_list(operator: Visitor, page: str) -> None:
    reply = operator.get(f"{HOME}{page}")
    assert (reply.status, reply.headers["location"]) == (303, f"{HOME}disks")
