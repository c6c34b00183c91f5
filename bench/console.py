"""Measures the console: first byte and size of each page; the API with consoles open.

    .venv/bin/python -m bench.console --disks 1000 --snapshots 100000 --consoles 10

The server has the engine in memory. The disks, with a rhythm each, are made through the API, the
snapshots written into the catalog, as many of each disk, as completed ones, nine of ten of them
automatic; no vault holds them.
Each page is asked for by one client on a connection that is kept open; CPU is the server's. Then
`get-disks` is asked for with as many overviews open as `--consoles` says, each loaded again
whenever the server tells it of news, as a browser does, and without, alternating; meanwhile a
snapshot is taken each second.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bench.api import REGION, SETTINGS, ZONE, Mooring, cpu_seconds, make_disks, tell
from bench.http_load import Measured, run
from mooring.admin.demo.server import ServerProcess
from mooring.catalog.database import Catalog
from mooring.model.automatic.rules import AutoSource
from mooring.model.ids import RandomIds
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from tests.e2e.processes import end_all

PAGES = {
    "Overview": "",
    "Disks": "disks",
    "Disks, found by name": "disks?text=disk-99",
    "Disks, those without snapshots": "disks?show=none",
    "Disk": "disk?name=disk-7",
    "Snapshot": "snapshot?name=named",
    "Restore": "restore?disk=disk-7",
    "Lineage": "lineage?name=disk-7",
    "Activity": "activity",
    "Audit log": "audit",
    "Space": "space",
    "Health": "health",
    "Keys": "keys",
}


class Visitor:
    """A browser, as far as requests go."""

    def __init__(self, mooring: Mooring) -> None:
        parts = urlsplit(mooring.url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        environment = mooring.server.environment()
        form = {
            "key": environment["AWS_ACCESS_KEY_ID"],
            "secret": environment["AWS_SECRET_ACCESS_KEY"],
        }
        connection = self.connect()
        headers = {
            "Origin": mooring.url,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/console/sign-in", urlencode(form), headers)
        reply = connection.getresponse()
        assert reply.status == 303, reply.read()
        self.headers = {"Cookie": str(reply.headers["set-cookie"]).partition(";")[0]}
        connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=60)

    def load(self, connection: http.client.HTTPConnection, page: str) -> tuple[float, int]:
        """Seconds until the first byte of a page, and its size."""
        began = time.perf_counter()
        connection.request("GET", f"/console/{REGION}/{page}", headers=self.headers)
        reply = connection.getresponse()
        first = time.perf_counter() - began
        size = len(reply.read())
        assert reply.status == 200, f"{page}: {reply.status}"
        return first, size

    def stay(self, ended: threading.Event) -> None:
        """Have the overview open: load it again at each piece of news."""
        pages, news = self.connect(), self.connect()
        self.load(pages, "")
        news.request("GET", f"/console/{REGION}/events", headers=self.headers)
        stream = news.getresponse()
        # The server's end is this one's.
        with suppress(OSError, http.client.HTTPException):
            while not ended.is_set():
                if stream.readline().startswith(b"event: changed"):
                    self.load(pages, "")
        for one in (pages, news):
            one.close()


def give_rhythms(mooring: Mooring, disks: int) -> None:
    """Let each disk have a rhythm, of which nothing is due today."""
    tags = [{"key": "mooring:snapshots", "value": "weekly keep 1 year"}]
    for number in range(disks):
        mooring.call("TagResource", resourceName=f"disk-{number}", tags=tags)


def record_snapshots(data: Path, count: int) -> None:
    """Write completed snapshots into the catalog, as many of each disk, an hour apart."""
    catalog, ids = Catalog(f"sqlite:///{data / 'catalog.sqlite'}"), RandomIds()
    with catalog.read() as transaction:
        disks = transaction.disks.of_region(REGION)
    now = int(time.time() * 1000)
    for first in range(0, count, 5000):
        with catalog.write() as transaction:
            for number in range(first, min(first + 5000, count)):
                disk, age = disks[number % len(disks)], (count - 1 - number) // len(disks)
                transaction.snapshots.add(
                    DiskSnapshot(
                        id=ids.new_id(),
                        region=REGION,
                        name="named" if number == count - 1 else f"old-{number}",
                        auto=None if age % 10 == 0 else AutoSource.TAG,
                        created_ms=now - age * 3_600_000,
                        support_code="000000000000/snap-0",
                        size_gb=8,
                        disk_id=disk.id,
                        disk_name=disk.name,
                        disk_zone=ZONE,
                        state=SnapshotState.COMPLETED,
                        frozen=True,
                        progress=100,
                        changed_bytes=number % 97 << 16,
                        stored_bytes=number % 97 << 15,
                        completed_ms=now - age * 3_600_000 + 1000,
                    )
                )
    catalog.close()


def measure_pages(mooring: Mooring, times: int) -> None:
    visitor, pid = Visitor(mooring), mooring.server.pid
    connection = visitor.connect()
    for name, page in PAGES.items():
        visitor.load(connection, page)
        before = cpu_seconds(pid)
        found = [visitor.load(connection, page) for _ in range(times)]
        each = (cpu_seconds(pid) - before) * 1000 / times
        firsts = sorted(first * 1000 for first, _ in found)
        print(
            f"{name:<32}first byte p50 {statistics.median(firsts):6.1f} ms  "
            f"p95 {firsts[int(0.95 * len(firsts))]:6.1f} ms  {found[0][1] / 1000:6.1f} kB  "
            f"{each:5.1f} ms CPU each",
            flush=True,
        )
    connection.close()


@contextmanager
def consoles(mooring: Mooring, count: int) -> Iterator[None]:
    """So many overviews open."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=Visitor(mooring).stay, args=(ended,), daemon=True)
        for _ in range(count)
    ]
    for one in threads:
        one.start()
    time.sleep(2)
    yield
    ended.set()


@contextmanager
def something_happens(mooring: Mooring, word: str) -> Iterator[None]:
    """A snapshot each second."""
    ended = threading.Event()

    def take() -> None:
        number = 0
        while not ended.wait(1.0):
            number += 1
            mooring.call(
                "CreateDiskSnapshot", diskName="disk-7", diskSnapshotName=f"{word}-{number}"
            )

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


def measure_api(mooring: Mooring, seconds: float, word: str) -> Measured:
    disks = mooring.repeated("GetDisks")
    with something_happens(mooring, word):
        before = cpu_seconds(mooring.server.pid)
        done = run(mooring.url, disks, seconds=seconds, connections=8)
        done.server_seconds = cpu_seconds(mooring.server.pid) - before
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--disks", type=int, default=1000)
    parser.add_argument("--snapshots", type=int, default=100_000)
    parser.add_argument("--consoles", type=int, default=10)
    parser.add_argument("--times", type=int, default=40, help="how often each page is loaded")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each rate of the API")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m-") as folder:
        data, settings = Path(folder) / "d", Path(folder) / "settings.toml"
        quiet = "[vault]\ncollect_minutes = 0\nverify_hours = 0\n"
        settings.write_text(SETTINGS.format(engine="memory") + quiet)
        data.mkdir(mode=0o700)
        command = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        command += ["--config", str(settings)]
        server = ServerProcess(data, command)
        try:
            server.start()
            mooring = Mooring(server)
            make_disks(mooring, options.disks, 0)
            give_rhythms(mooring, options.disks)
            record_snapshots(data, options.snapshots)
            measure_pages(mooring, options.times)
            for number in range(options.rounds):
                alone = measure_api(mooring, options.seconds, f"alone-{number}")
                tell("get-disks, 8 clients, no console open", alone)
                with consoles(mooring, options.consoles):
                    beside = measure_api(mooring, options.seconds, f"beside-{number}")
                    tell(f"get-disks, with {options.consoles} consoles open", beside)
        finally:
            server.kill()
            end_all(data)


if __name__ == "__main__":
    main()
