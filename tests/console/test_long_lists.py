"""Lists are paged and filtered by the server: nothing left out, nothing twice."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import unescape

import pytest

from mooring.model.resources.disk import Disk, DiskState
from mooring.service.own.reports import disk_list, timeline
from tests.console.site import Site, Visitor
from tests.service.world import REGION, ZONE

HOME = "/console/us-east-2/"
MANY = 10_000
COUNT = disk_list.SIZE * 2 + 7


@pytest.fixture
def crowded(site: Site) -> Site:
    for number in range(COUNT):
        tags = [{"key": "team", "value": "db"}] if number % 3 == 0 else []
        if number % 2 == 0:
            tags.append({"key": "mooring:snapshots", "value": "daily keep 1 week"})
        site.world.call(
            "CreateDisk", diskName=f"disk-{number:03}", availabilityZone=ZONE, sizeInGb=8, tags=tags
        )
    return site


def pages(visitor: Visitor, target: str, pattern: str) -> Iterator[list[str]]:
    """What each page lists, from the first to the last."""
    following: str | None = HOME + target
    while following is not None:
        text = visitor.get(following).text
        yield re.findall(pattern, text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        following = None if found is None else unescape(found[1])


DISK = r'<th scope="row"><a href="[^"]*/disk\?name=(disk-\d+)"'


@pytest.mark.parametrize(
    ("user", "target", "wanted"),
    [
        ("admin", "disks", range(COUNT)),
        ("admin", "disks?text=disk-01", range(10, 20)),
        ("admin", "disks?text=DISK-10", range(100, COUNT)),
        ("admin", "disks?show=none", range(1, COUNT, 2)),
        ("admin", "disks?show=protected", range(0, COUNT, 2)),
        ("team", "disks", range(0, COUNT, 3)),
        ("team", "disks?show=none", range(3, COUNT, 6)),
        ("admin", "disks?text=%25", range(0)),
    ],
)
def test_every_disk_is_on_one_page(crowded: Site, user: str, target: str, wanted: range) -> None:
    found = list(pages(crowded.visitor(user), target, DISK))

    assert [name for page in found for name in page] == [f"disk-{one:03}" for one in wanted]
    assert all(len(page) <= disk_list.SIZE for page in found)


def test_every_snapshot_of_a_disk_is_on_one_page(site: Site) -> None:
    site.world.disk("data")
    count = timeline.SIZE + 5
    for number in range(count):
        site.world.call("CreateDiskSnapshot", diskName="data", diskSnapshotName=f"snap-{number:03}")
        site.world.settle()
        site.world.clock.advance(1)

    found = list(
        pages(
            site.visitor("admin"),
            "disk?name=data&all=1",
            r'<th scope="row"><a [^>]*name=(snap-\d+)"',
        )
    )

    assert [name for page in found for name in page] == [
        f"snap-{one:03}" for one in reversed(range(count))
    ]
    assert len(found) == 2


def test_the_audit_log_is_searched_backwards(site: Site) -> None:
    admin = site.visitor("admin")
    admin.get(HOME)
    for number in range(130):
        admin.post(f"{HOME}disk/snapshot", name=f"nowhere-{number:03}", snapshot="x")

    found = list(pages(admin, "audit", r"(nowhere-\d+), x"))
    assert [name for page in found for name in page] == [
        f"nowhere-{one:03}" for one in reversed(range(130))
    ]
    assert len(found) == 2
    (page,) = pages(admin, "audit?text=NOWHERE-042", r"(nowhere-\d+), x")
    assert page == ["nowhere-042"]


def test_the_first_page_of_ten_thousand_disks_is_small_and_found_by_the_server(site: Site) -> None:
    with site.world.catalog.write() as transaction:
        for number in range(MANY):
            transaction.disks.add(
                Disk(
                    id=f"00000000-0000-0000-0001-{number:012}",
                    region=REGION,
                    zone=ZONE,
                    name=f"disk-{number:05}",
                    created_ms=site.world.clock.now_ms(),
                    support_code="000000000000/vol-0",
                    size_gb=8,
                    state=DiskState.AVAILABLE,
                )
            )
    admin = site.visitor("admin")
    admin.get(f"{HOME}disks")  # templates are read once
    began = time.process_time()
    page = admin.get(f"{HOME}disks")
    took = time.process_time() - began

    assert re.findall(DISK, page.text) == [f"disk-{one:05}" for one in range(disk_list.SIZE)]
    assert f'<span class="count">{MANY}</span>' in page.text
    assert 'rel="next"' in page.text
    assert len(page.content) < 100_000
    # Some 20 ms; as long as ten thousand disks take it may not.
    assert took < 0.5
    found = admin.get(f"{HOME}disks?text=disk-0987").text
    assert re.findall(DISK, found) == [f"disk-{one:05}" for one in range(9870, 9880)]
    assert 'rel="next"' not in found
