"""A server cut off from its database for longer than its leases last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from mooring.catalog.database import Catalog
from mooring.jobs.running import leases
from mooring.jobs.running.runner import Runner
from mooring.jobs.table import PROCEDURES
from mooring.model.clock import SystemClock
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from tests.catalog.postgresql import PostgreSQL
from tests.catalog.stalling_proxy import StallingProxy
from tests.service.three_servers import another_server
from tests.service.world import World

pytestmark = pytest.mark.full

LEASE_MS = 1000
SECONDS = 60


class Pair:
    """Two servers of one catalog and one host; the first has the proxy before its database."""

    def __init__(self, postgresql: PostgreSQL, folder: Path, moment: str) -> None:
        url = postgresql.url()
        (place,) = parse_qs(urlsplit(url).query)["host"]
        (socket,) = Path(place).glob(".s.PGSQL.*[0-9]")
        self.proxy = StallingProxy(folder, socket)
        through = url.replace(place, str(folder))
        assert through != url
        self.world = World(catalog=Catalog(url))
        self.recorded: list[tuple[str, str, str]] = []
        self.moment, self.stalled = moment, threading.Event()
        # Rows say nothing of hosts then, as where there is only one.
        self.world.backend = another_server(self.world.backend, "here", self.world.catalog)
        self.first, self.second = self._runner("one", through), self._runner("two", url)

    def _runner(self, name: str, url: str) -> Runner:
        def observe(job: Job, step: str, moment: str) -> None:
            self.recorded.append((name, step, moment))
            if (name, f"{step}:{moment}") == ("one", self.moment):
                self.moment = ""
                self.proxy.stall()
                self.stalled.set()

        backend = another_server(self.world.backend, name, Catalog(url))
        self.__dict__.setdefault("catalogs", []).append(backend.catalog)
        return Runner(backend, PROCEDURES, observer=observe)

    def close(self) -> None:
        self.proxy.resume()
        for catalog in self.__dict__["catalogs"]:
            catalog.close()
        self.world.close()
        self.proxy.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize("moment", ["store:begin", "store:done"])
def test_a_server_that_was_cut_off_records_nothing(
    postgresql: PostgreSQL,
    run_dir: Path,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Before it reads a disk, and when all that is left is to record what it has stored."""
    monkeypatch.setattr(leases, "LEASE_MS", LEASE_MS)
    pair = Pair(postgresql, run_dir / "pg", moment)
    world = pair.world
    world.runner = pair.second
    try:
        world.write(world.disk(), 0, bytes([1]) * BLOCK_SIZE)
        world.snapshot("snap")
        with capture_logs() as lines:
            cut_off: Future[None] = pool.submit(pair.first.drain)
            assert pair.stalled.wait(SECONDS)
            _until_stored(pair)
            before = _rows(world)
            pair.proxy.resume()
            cut_off.result(SECONDS)
        assert _rows(world) == before
        given_up = [line for line in lines if "a job is given up here" in line["event"]]
        assert len(given_up) == 1
        recorded = [who for who, step, at in pair.recorded if (step, at) == ("store", "recorded")]
        assert recorded == ["two"]
        assert world.state("snap")["state"] == "completed"
        assert len(list(world.vault.snapshot_ids())) == 1
    finally:
        pair.close()


def _until_stored(pair: Pair) -> None:
    """Let the other server have the job once its lease has ended."""
    clock, waited = SystemClock(), 0.0
    while pair.world.state("snap")["state"] != "completed":
        pair.second.drain()
        clock.sleep(0.1)
        waited += 0.1
        assert waited < SECONDS, pair.recorded
    pair.second.drain()


def _rows(world: World) -> tuple[object, ...]:
    """What the catalog has of snapshots, operations and jobs."""
    with world.catalog.read() as transaction:
        return (
            transaction.snapshots.all(),
            [job for job in transaction.jobs.all() if job.kind is not JobKind.COLLECT_VAULT],
            transaction.operations.page("us-east-2", 0, 99),
        )
