"""Whose a disk is that may be on its way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.catalog.database import Catalog
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import MoveDisks
from mooring.taking.moving import is_of
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.values import disk

pytestmark = pytest.mark.full


@pytest.fixture
def catalog(postgresql: PostgreSQL) -> Iterator[Catalog]:
    catalog = Catalog(postgresql.url())
    catalog.migrate()
    yield catalog
    catalog.close()


def test_a_disk_is_of_its_host_and_of_who_takes_it_over(catalog: Catalog) -> None:
    moved = disk("data", host="alpha")
    given = MoveDisks(instance="", disks=(moved.id,), snapshots=(), source="alpha", start=False)
    move = Job(
        id="m", key="m", region="home", zone="a", server="beta", created_ms=0, arguments=given
    )
    hosts = ("alpha", "beta", "gamma")
    with catalog.write() as transaction:
        assert all(is_of(transaction, moved.id, host) for host in hosts), "nobody knows it"
        transaction.disks.add(moved)
        assert [is_of(transaction, moved.id, host) for host in hosts] == [True, False, False]
        transaction.jobs.add(move)
        assert [is_of(transaction, moved.id, host) for host in hosts] == [True, True, False]
