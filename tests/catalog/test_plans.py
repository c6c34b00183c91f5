"""What a server asks again and again, or for a request, reads no whole table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.jobs.automatic import outcomes
from tests.catalog.asking import WHOLE, asked, pretend
from tests.catalog.many_rows import Amount, disk_id, fill
from tests.catalog.plans import Executed, recorded, scans
from tests.service.world import REGION, World

DISKS = 400

JOBS = ("FROM jobs", "UPDATE jobs")
"""The jobs are few: each is deleted when it is done."""

OF_A_COLLECTION = ("disk_snapshots.lost, disk_snapshots.created_ms, disk_snapshots.completed_ms",)
"""A collection, and a comparison with the roots, read all roots of the region, too."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'catalog.sqlite'}"


@pytest.fixture
def world(url: str) -> Iterator[World]:
    world = World(catalog=Catalog(url))
    fill(url, Amount(disks=DISKS), world.clock.now_ms())
    pretend(world, DISKS)
    yield world
    world.close()


def test_no_table_is_read_whole(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MOST_TOLD", DISKS // 2)
    found = {}
    for name, ask in asked(world, DISKS):
        if name.startswith(WHOLE):
            continue
        with recorded() as executed:
            ask()
        assert executed, name
        for text, whole in scans(url, list(executed.values())).items():
            if not any(part in text for part in (*JOBS, *OF_A_COLLECTION)):
                found[name, text] = whole
    assert not found


def test_scans_are_seen(world: World, url: str) -> None:
    with recorded() as executed, world.catalog.read() as transaction:
        transaction.disks.all()
        transaction.disks.of_region(REGION)
        transaction.disks.by_id(disk_id(1))
    by_id, *others = sorted(executed.values(), key=lambda one: "disks.id =" not in one.text)
    assert isinstance(by_id, Executed)
    assert scans(url, [by_id]) == {}
    assert len(scans(url, others)) == len(others) == 2
