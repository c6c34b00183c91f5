"""Pages of several regions: copies are there, disks and commands stay where they belong."""

from __future__ import annotations

import pytest

from tests.console.site import Site, Visitor
from tests.service.world import REGION

FAR = "us-west-2"
HERE, THERE = f"/console/{REGION}", f"/console/{FAR}"


@pytest.fixture
def admin(site: Site) -> Visitor:
    """Sees a disk with a snapshot of an hour ago, and a new copy of that in the other region."""
    site.world.disk()
    site.world.write(site.world.disk_id("data"), 0, b"x" * 4096)
    site.world.snapshot("first")
    site.world.settle()
    site.world.clock.advance(3600)
    site.world.call(
        "CopySnapshot",
        region=FAR,
        sourceSnapshotName="first",
        targetSnapshotName="far",
        sourceRegion=REGION,
    )
    site.world.settle()
    return site.visitor("admin")


def test_a_copy_elsewhere_is_none_of_the_disks_snapshots(admin: Visitor) -> None:
    page = admin.get(f"{HERE}/disk?name=data").text
    assert "snapshot?name=first" in page
    assert "snapshot?name=far" not in page
    assert "1 hour ago" in admin.see(f"{HERE}/disks")
    assert "just now" not in admin.see(f"{HERE}/disks")
    assert "copy far in us-west-2" in admin.see(f"{HERE}/lineage?name=data")


def test_a_copy_says_where_its_disk_is(admin: Visitor) -> None:
    assert "a copy of data in us-east-2" in admin.see(f"{THERE}/snapshot?name=far")
    assert "gone" not in admin.see(f"{THERE}/snapshot?name=far")
    page = admin.get(f"{THERE}/space?disks=1").text
    assert f'href="{HERE}/disk?name=data"' in page
    assert "copies; the disk is in us-east-2" in page
    assert "copies" not in admin.get(f"{HERE}/space?disks=1").text


def test_commands_are_about_the_region_of_the_page(admin: Visitor) -> None:
    command = "mooring delete-disk-snapshot --disk-snapshot-name"
    assert f"{command} far --region us-west-2" in admin.see(f"{THERE}/delete?name=far")
    assert f"{command} first" in admin.see(f"{HERE}/delete?name=first")
    assert "--region" not in admin.see(f"{HERE}/delete?name=first")
    page = admin.see(f"{THERE}/restore?disk=data&snapshot=far&to=disk")
    assert "--availability-zone us-west-2a --size-in-gb 8 --region us-west-2" in page


@pytest.mark.parametrize("page", ["", "disks"])
def test_where_there_is_no_disk_a_command_makes_one(site: Site, admin: Visitor, page: str) -> None:
    command = "--size-in-gb 8 --availability-zone us-west-2a --region us-west-2"
    assert command in admin.see(f"{THERE}/{page}")
    assert "create-disk" not in site.visitor("reader").see(f"{THERE}/{page}")
    assert "create-disk" not in admin.see(f"{HERE}/{page}")


def test_what_takes_no_time_is_told_as_a_sentence(admin: Visitor) -> None:
    page = admin.see(f"{HERE}/restore?disk=data&snapshot=first&to=disk")
    assert "about moments" not in page
