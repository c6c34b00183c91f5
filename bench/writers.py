"""Snapshots a second that a PostgreSQL catalog records, by number of servers.

    .venv/bin/python -m bench.writers --seconds 5 --round-trip-ms 0.5

Each server is a process with four threads and a catalog of its own, on one database. A snapshot is
the two transactions of its request and the two of its job, by the catalog's code; freeze and
vault are left out. Each statement waits as long as a round trip would last. `one writer` has
every transaction take one lock first, as Mooring did before it locked rows; `with audit` has the
line of each request in its first transaction, as a server does. Needs PostgreSQL's programs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

from mooring.catalog.database import Catalog
from mooring.catalog.sharing.audit_lines import Note
from mooring.catalog.transaction import Transaction
from mooring.model.clock import SystemClock
from mooring.model.ids import RandomIds
from mooring.model.operation import Operation, ResourceType
from mooring.model.resources.disk import Disk
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_jobs import uploading
from mooring.taking import recording
from tests.catalog.postgresql import PostgreSQL, find_binaries

REGION, ZONE = "us-east-2", "us-east-2a"
THREADS = 4
_ONE = text("SELECT pg_advisory_xact_lock(1)")
CLOCK, IDS = SystemClock(), RandomIds()


class OneWriter(Catalog):
    """Writers that wait for each other from the beginning to the end."""

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Transaction]:
        with super().write(durable=durable) as transaction:
            transaction.disks.connection.execute(_ONE)
            yield transaction


class Audited(Catalog):
    """Has the line of each request in the transaction of its change."""


KINDS = {"one writer": OneWriter, "rows locked": Catalog, "with audit": Audited}


def main() -> None:
    """Measure, and print a line for each number of servers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each figure")
    parser.add_argument("--round-trip-ms", type=float, default=0.5)
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL is not installed")
    server = PostgreSQL(binaries)
    try:
        for how, kind in KINDS.items():
            for servers in options.servers:
                rate, p50, p99 = measure(
                    server.url(), kind, servers, options.seconds, options.round_trip_ms / 1000
                )
                print(
                    f"{how:<12}{servers} servers  {rate:6.0f}/s  p50 {p50 * 1000:6.1f} ms  "
                    f"p99 {p99 * 1000:6.1f} ms",
                    flush=True,
                )
    finally:
        server.close()


def measure(
    url: str, kind: type[Catalog], servers: int, seconds: float, round_trip: float
) -> tuple[float, float, float]:
    """Snapshots a second, and the median and the 99th percentile of their seconds."""
    catalog = Catalog(url)
    catalog.migrate()
    disks = [_disk(f"disk-{number}") for number in range(servers * THREADS)]
    with catalog.write() as transaction:
        for disk in disks:
            transaction.disks.add(disk)
    catalog.close()
    results: Any = multiprocessing.Queue()
    processes = [
        multiprocessing.Process(
            target=_serve,
            args=(url, kind, disks[n * THREADS : (n + 1) * THREADS], seconds, round_trip, results),
        )
        for n in range(servers)
    ]
    for process in processes:
        process.start()
    found = sorted(one for _ in processes for one in results.get())
    for process in processes:
        process.join()
    return len(found) / seconds, found[len(found) // 2], found[int(len(found) * 0.99)]


def _serve(
    url: str,
    kind: type[Catalog],
    disks: list[Disk],
    seconds: float,
    round_trip: float,
    results: Any,
) -> None:
    catalog = kind(url)
    wait = threading.Event()

    @event.listens_for(catalog._engine, "before_cursor_execute")
    def travel(*_given: Any) -> None:
        wait.wait(round_trip)

    taken: list[float] = []
    end = CLOCK.monotonic() + seconds

    def record(disk: Disk) -> None:
        while (begun := CLOCK.monotonic()) < end:
            _snapshot(catalog, disk)
            taken.append(CLOCK.monotonic() - begun)

    threads = [threading.Thread(target=record, args=(disk,)) for disk in disks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    catalog.close()
    results.put(taken)


def _snapshot(catalog: Catalog, disk: Disk) -> None:
    now = CLOCK.now_ms()
    snapshot = DiskSnapshot(
        id=IDS.new_id(),
        region=REGION,
        name=f"s-{IDS.new_id()}",
        created_ms=now,
        support_code="0/snap-0",
        size_gb=8,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=ZONE,
    )
    asked = catalog
    if isinstance(catalog, Audited):
        line = {"operation": "CreateDiskSnapshot", "resources": [disk.name, snapshot.name]}
        asked = catalog.noting(Note(IDS.new_id(), now, "one", line))
    with asked.write() as transaction:
        found = transaction.disks.by_name(REGION, disk.name)
        assert found is not None
        transaction.names.taken(REGION, [snapshot.name])
        transaction.snapshots.of_disk(disk.id, SnapshotState.PENDING)
        recording.reserve(transaction, snapshot)
        transaction.operations.add([_operation(snapshot, now)])
    with asked.write() as transaction:
        recording.confirm(transaction, snapshot, None)
    with catalog.write(durable=False) as transaction:
        kinds = [uploading(snapshot, now).kind]
        job = transaction.jobs.take(IDS.new_id(), kinds, now, 30_000, [])
    if job is None:
        return  # another server has it
    with catalog.write() as transaction:
        transaction.snapshots.change(snapshot.id, progress=50)
        transaction.jobs.remove(job)
        transaction.operations.finish(job.waited_for, CLOCK.now_ms())


def _operation(snapshot: DiskSnapshot, now: int) -> Operation:
    return Operation(
        id=IDS.new_id(),
        region=REGION,
        zone=ZONE,
        resource_id=snapshot.id,
        resource_name=snapshot.name,
        resource_type=ResourceType.DISK_SNAPSHOT,
        type="CreateDiskSnapshot",
        created_ms=now,
        changed_ms=now,
        job_id=snapshot.id,
    )


def _disk(name: str) -> Disk:
    return Disk(
        id=IDS.new_id(),
        region=REGION,
        zone=ZONE,
        name=name,
        created_ms=0,
        support_code="0/vol-0",
        size_gb=8,
    )


if __name__ == "__main__":
    main()
