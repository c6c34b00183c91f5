"""Transactions: all or nothing, nothing lost between two, durable at the end."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from mooring.catalog.database import Catalog
from mooring.model.errors import InvalidInputException
from mooring.model.resources.disk import DiskState
from tests.catalog.kinds import on_shared_ones
from tests.catalog.values import REGION, disk, job, operation


class Stop(BaseException):
    """As when a thread is ended from outside."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_an_exception_leaves_nothing(catalog: Catalog, error: type[BaseException]) -> None:
    def write() -> None:
        with catalog.write() as transaction:
            transaction.disks.add(disk("data", tags={"k": "v"}))
            transaction.operations.add([operation(1)])
            raise error

    with pytest.raises(error):
        write()

    with catalog.read() as transaction:
        assert transaction.disks.all() == []
        assert transaction.names.find(REGION, "data") is None
        assert transaction.tags.of(["id-data"]) == {"id-data": {}}
        assert transaction.operations.page(REGION, None, 9) == ([], None)
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))


CRASH = """
import os, sys
from mooring.catalog.database import Catalog
from tests.catalog.values import disk

catalog = Catalog(sys.argv[1])
with catalog.write() as transaction:
    transaction.disks.add(disk("recorded"))
with catalog.write() as transaction:
    transaction.disks.add(disk("lost"))
    os._exit(9)
"""


@on_shared_ones
def test_a_crash_leaves_what_was_recorded_and_nothing_else(
    second: Catalog, url: str, catalog: Catalog
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, url],
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )

    assert done.returncode == 9
    with catalog.write() as transaction:
        assert [one.name for one in transaction.disks.all()] == ["recorded"]
        transaction.disks.add(disk("lost"))


@on_shared_ones
def test_two_writers_at_once_lose_nothing(catalog: Catalog, second: Catalog) -> None:
    """Read, then write what was read: whoever did not wait would overwrite the other."""
    with catalog.write() as transaction:
        transaction.disks.add(disk("data", size_gb=0))
    rounds = 25

    def count(which: Catalog) -> None:
        for _ in range(rounds):
            with which.write() as transaction:
                found = transaction.disks.by_id("id-data")
                assert found is not None
                transaction.disks.change("id-data", size_gb=found.size_gb + 1)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(count, one) for one in (catalog, second, catalog, second)]:
            future.result(120)

    with catalog.read() as transaction:
        found = transaction.disks.by_id("id-data")
        assert found is not None
        assert found.size_gb == 4 * rounds


@on_shared_ones
def test_one_of_two_writers_gets_a_name(catalog: Catalog, second: Catalog) -> None:
    def take(which: Catalog, number: int) -> bool:
        with suppress(InvalidInputException), which.write() as transaction:
            if transaction.names.taken(REGION, ["data"]):
                return False
            # Where there are several writers at a time, it may be taken by now.
            transaction.disks.add(disk("data", id=f"id-{number}"))
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, [catalog, second] * 4, range(8)))

    assert sum(taken) == 1


@on_shared_ones
def test_a_reader_sees_one_state_and_does_not_wait(catalog: Catalog, second: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))
    wrote = threading.Event()

    def write() -> None:
        with second.write() as transaction:
            transaction.disks.change("id-data", state=DiskState.ERROR)
            transaction.disks.add(disk("more"))
        wrote.set()

    with catalog.read() as reader:
        before = reader.disks.all()
        writer = threading.Thread(target=write)
        writer.start()
        assert wrote.wait(60), "a reader must not hold up a writer"
        writer.join()
        assert reader.disks.all() == before
    with catalog.read() as reader:
        assert [one.state for one in reader.disks.all()] == [DiskState.ERROR, DiskState.PENDING]


@on_shared_ones
def test_a_reader_does_not_wait_for_a_writer(catalog: Catalog, second: Catalog) -> None:
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))
        with second.read() as reader:
            assert reader.disks.all() == []


def test_what_a_reader_does_is_in_no_ones_way(catalog: Catalog) -> None:
    for _ in range(100):
        with catalog.read() as transaction:
            transaction.disks.all()
    with catalog.write() as transaction:
        transaction.disks.add(disk("data"))


_READ = """
import os, sqlite3, sys
from sqlalchemy.exc import DatabaseError
from mooring.catalog.database import Catalog
catalog = Catalog(f"sqlite:///{sys.argv[1]}")
try:
    with catalog.read() as transaction:
        transaction.vaults.of_region("none")
        os.truncate(sys.argv[1], 8192)
        transaction.jobs.all()
except (DatabaseError, sqlite3.DatabaseError) as error:
    print("told", error)
"""


def test_a_file_that_cannot_be_read_ends_no_process(tmp_path: Path) -> None:
    file = tmp_path / "catalog.sqlite"
    catalog = Catalog(f"sqlite:///{file}")
    catalog.migrate()
    with catalog.write() as transaction:
        for number in range(2_000):
            transaction.jobs.add(job(f"job-{number}"))
    catalog.close()
    # As a read error of its disk does, the end of a file ends a process that has mapped it.
    done = subprocess.run(
        [sys.executable, "-c", _READ, file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "told" in done.stdout
