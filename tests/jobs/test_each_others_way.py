"""Two transactions that wait for each other: PostgreSQL ends one, and it is tried again."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mooring.api.reply import error_of
from mooring.catalog.database import Catalog
from mooring.model.errors import ServiceException
from mooring.model.resources.disk import DiskState
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.catalog.postgresql import PostgreSQL
from tests.e2e.processes import until
from tests.service.world import REGION, ZONE, World

pytestmark = pytest.mark.full

SECONDS = 30
_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


class Other:
    """Locks the rows of a job and of its disk, in another order than the job's end does."""

    def __init__(self, url: str) -> None:
        self.catalog = Catalog(url)
        self.pool = ThreadPoolExecutor(1)
        self.done: Future[None] | None = None

    def __call__(self, job: Job, step: str, moment: str) -> None:
        if (job.kind, step, moment) != (JobKind.CREATE_DISK, "create", "done") or self.done:
            return
        begun: Future[None] = Future()
        self.done = self.pool.submit(self._lock, job, begun)
        begun.result(SECONDS)

    def _lock(self, job: Job, begun: Future[None]) -> None:
        with self.catalog.write() as transaction:
            transaction.jobs.check_held(job)
            begun.set_result(None)
            # The job's end has the disk, and waits for its own row.
            until(lambda: transaction.connection.execute(_WAITING).scalar_one() > 0, "it to wait")
            transaction.disks.by_name(REGION, "data")


def test_a_job_is_done_again_at_once(postgresql: PostgreSQL) -> None:
    url = postgresql.url()
    other = Other(url)
    world = World(observer=other, catalog=Catalog(url))
    world.call("CreateDisk", diskName="data", availabilityZone=ZONE, sizeInGb=8)

    world.runner.drain()

    assert other.done is not None
    other.done.result(SECONDS)
    with world.catalog.read() as transaction:
        disk = transaction.disks.by_name(REGION, "data")
        assert transaction.jobs.all() == []
    assert disk is not None
    assert disk.state is DiskState.AVAILABLE
    other.pool.shutdown()
    other.catalog.close()
    world.close()


def test_a_client_is_told_to_try_again() -> None:
    psycopg = pytest.importorskip("psycopg")
    exchange: Any = SimpleNamespace(operation="CreateDisk")
    told = error_of(exchange, OperationalError("", {}, psycopg.errors.DeadlockDetected()))
    assert isinstance(told, ServiceException)
    assert "in the way of this one" in told.message
    other = error_of(exchange, OperationalError("", {}, psycopg.errors.AdminShutdown()))
    assert "the catalog" in other.message.replace("The server's catalog", "the catalog")
