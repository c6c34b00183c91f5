"""What a host leaves to another one that takes its disks over as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mooring.catalog.database import Catalog
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import (
    CreateDisk,
    DeleteSnapshot,
    FillDisk,
    ForkDisk,
    UploadSnapshot,
)
from mooring.model.resources.job_kind import JobKind
from mooring.taking import leaving
from tests.catalog.postgresql import PostgreSQL

pytestmark = pytest.mark.full

FILL = Job(
    id="fill",
    key="fill disk",
    region="home",
    zone="a",
    server="alpha",
    created_ms=0,
    arguments=FillDisk(disk="disk", snapshot="origin"),
)
UPLOAD = replace(FILL, id="up", key="disk", arguments=UploadSnapshot(snapshot="s", disk="disk"))
DELETION = replace(FILL, id="del", key="s", arguments=DeleteSnapshot(snapshot="s", disk="disk"))
MAKING = replace(FILL, id="m", key="disk", arguments=CreateDisk(disk="disk"))
FORK = replace(FILL, id="f", key="f", arguments=ForkDisk(disk="twin", source="disk", point="p"))


@pytest.fixture
def catalog(postgresql: PostgreSQL) -> Iterator[Catalog]:
    catalog = Catalog(postgresql.url())
    catalog.migrate()
    yield catalog
    catalog.close()


def add(catalog: Catalog, *jobs: Job) -> None:
    with catalog.write() as transaction:
        for job in jobs:
            transaction.jobs.add(job)


def take(catalog: Catalog) -> Job:
    with catalog.write() as transaction:
        job = transaction.jobs.take("alpha", [JobKind.FILL_DISK], 0, 60_000, [])
    assert job is not None
    return job


def awaited(catalog: Catalog) -> str | None:
    with catalog.read() as transaction:
        return leaving.awaited(transaction, ["disk"], "alpha")


def test_what_is_put_off_goes_with_the_disk(catalog: Catalog) -> None:
    other = replace(FILL, id="o", key="o", arguments=FillDisk(disk="other", snapshot="origin"))
    add(catalog, FILL, UPLOAD, DELETION, other)
    assert awaited(catalog) is None

    with catalog.write() as transaction:
        assert leaving.hand_on(transaction, "disk", "alpha", "beta")

    with catalog.read() as transaction:
        assert [one.id for one in transaction.jobs.of_server("beta")] == ["fill", "up", "del"]
        assert [one.id for one in transaction.jobs.of_server("alpha")] == ["o"]
        assert transaction.jobs.is_read("origin")


def test_what_is_begun_is_waited_for(catalog: Catalog) -> None:
    add(catalog, FILL)
    job = take(catalog)
    assert awaited(catalog) == JobKind.FILL_DISK
    with catalog.write() as transaction:
        assert not leaving.hand_on(transaction, "disk", "alpha", "beta")

    with catalog.write() as transaction:
        transaction.jobs.record(job, release=True)
    assert awaited(catalog) is None


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        (lambda: MAKING, JobKind.CREATE_DISK),
        (lambda: replace(UPLOAD, not_before_ms=HELD_MS), JobKind.UPLOAD_SNAPSHOT),
        (lambda: replace(FORK, not_before_ms=HELD_MS), JobKind.FORK_DISK),
        (lambda: FORK, None),
    ],
    ids=["being made", "being frozen", "being forked", "forked"],
)
def test_what_others_cannot_go_on_with_is_waited_for(
    catalog: Catalog, change: Callable[[], Job], waits: JobKind | None
) -> None:
    add(catalog, change())
    assert awaited(catalog) == waits
