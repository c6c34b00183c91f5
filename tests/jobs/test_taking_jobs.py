"""Jobs that are being taken when the database goes away, or leases are renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from mooring.catalog.database import Catalog
from mooring.jobs.running.leases import Leases
from mooring.model.resources.job_kind import JobKind
from tests.catalog.postgresql import PostgreSQL
from tests.service.world import ZONE, World

pytestmark = pytest.mark.full

KINDS = list(JobKind)


@pytest.fixture
def world(postgresql: PostgreSQL) -> Iterator[World]:
    """One job is to be run."""
    world = World(catalog=Catalog(postgresql.url()))
    world.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)
    yield world
    world.close()


@contextmanager
def before_commit(catalog: Catalog, do: Callable[[Connection], object]) -> Iterator[None]:
    """Do something once, when the next transaction is about to be committed."""
    left = [do]

    def once(connection: Connection) -> None:
        if left:
            left.pop()(connection)

    engine = catalog._engine
    event.listen(engine, "commit", once)
    try:
        yield
        assert not left, "nothing was committed"
    finally:
        event.remove(engine, "commit", once)


def test_one_whose_taking_was_cut_off_is_taken_another_time(world: World) -> None:
    leases = Leases(world.backend)

    def cut_off(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        with world.catalog._engine.connect() as other:
            pid = driver.info.backend_pid
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with (
        before_commit(world.catalog, cut_off),
        pytest.raises(OperationalError),
        leases.taken(KINDS) as (job, _),
    ):
        raise AssertionError(f"it was taken: {job}")

    with leases.taken(KINDS) as (job, _):
        assert job is not None, "it is for ever among those that run here"
        assert job.generation == 1, "nobody had it before"


def test_one_is_not_given_up_because_leases_are_renewed_before_others_see_it(world: World) -> None:
    leases = Leases(world.backend)

    with (
        before_commit(world.catalog, lambda _connection: leases.renew()),
        leases.taken(KINDS) as (job, _),
    ):
        assert job is not None
        leases.check(job)
