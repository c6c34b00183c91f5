"""What snapshots every few seconds cost while little or nothing changes.

    .venv/bin/python -m bench.rhythms --disks 20 --every 10 --seconds 120

As root. First a server with the QEMU engine and a vault in a directory: disks of 8 GiB, each
attached to an instance of its own, have a rhythm; into every second disk 4 KiB are written now and
then, at a random place. It prints the CPU that the server, the programs that it started and the
storage daemons took, in per cent of one core and for each snapshot, and how late snapshots were;
before that, the same without rhythms. Then the requests that one snapshot costs in a bucket, and
the bytes: with nothing changed, and with 4 KiB.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.vault_step import info
from mooring.model.automatic.rhythm import RHYTHMS_TAG, Rhythm, offset_of, parse_rhythms
from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.nbd.blocking import BlockingNbdClient
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.e2e.deployment import Deployment
from tests.vault.requests import RequestStore

SIZE_GB = 8
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Serve and measure, then count requests."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--disks", type=int, default=20)
    parser.add_argument("--every", type=int, default=10, help="seconds")
    parser.add_argument("--keep", default="10 minutes")
    parser.add_argument("--seconds", type=float, default=120.0, help="measured, of each")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds before that")
    parser.add_argument("--folder", type=Path, help="where the disks and the vault are")
    parser.add_argument("--requests-only", action="store_true")
    arguments = parser.parse_args()
    if not arguments.requests_only:
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
        with tempfile.TemporaryDirectory(prefix="r-", dir=arguments.folder) as folder:
            deployment = Deployment(Path(folder))
            try:
                serve(deployment, arguments)
            finally:
                deployment.close()
        print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    requests()


# --- a server with disks


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of CPU: of the server, of the programs that it started, and of the daemons."""

    server: float
    programs: float
    daemons: float

    def __sub__(self, other: Used) -> Used:
        return Used(
            self.server - other.server,
            self.programs - other.programs,
            self.daemons - other.daemons,
        )

    @property
    def total(self) -> float:
        return self.server + self.programs + self.daemons


def serve(deployment: Deployment, arguments: argparse.Namespace) -> None:
    deployment.start()
    names = [f"d{number}" for number in range(arguments.disks)]
    for name in names:
        deployment.instance(f"i-{name}")
        uri = deployment.used_disk(name, f"i-{name}")
        with BlockingNbdClient(uri) as client:
            client.write(0, random.randbytes(1 << 20))
            client.flush()
    uris = [str(deployment.server.ask("uri", diskName=name)["uri"]) for name in names[::2]]
    with written_now_and_then(uris, arguments.every / 2):
        watch(deployment, arguments.seconds / 2, "without rhythms")
        rhythm = f"every {arguments.every} seconds keep {arguments.keep}"
        for name in names:
            deployment.call(
                "TagResource", resourceName=name, tags=[{"key": RHYTHMS_TAG, "value": rhythm}]
            )
        watch(deployment, arguments.warm_up, "")
        began = time.time()
        watch(deployment, arguments.seconds, f"with {rhythm!r}, {len(names)} disks")
        tell_lateness(deployment, parse_rhythms(rhythm)[0], began)


@contextmanager
def written_now_and_then(uris: list[str], period: float) -> Iterator[None]:
    """Write 4 KiB to each disk in each period: from this process, whose CPU is not counted."""
    stop, rng = threading.Event(), random.Random(1)

    def write() -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(BlockingNbdClient(uri)) for uri in uris]
            while not stop.wait(period):
                for client in clients:
                    place = rng.randrange(SIZE_GB * GIB // BLOCK_SIZE) * BLOCK_SIZE
                    client.write(place, rng.randbytes(BLOCK_SIZE))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def watch(deployment: Deployment, seconds: float, what: str) -> None:
    """Let time pass, and print what it took; nothing for what has no name."""
    pids = [deployment.server.pid, *deployment.daemons().values()]
    stored, before, began = count(deployment), used(pids), time.monotonic()
    time.sleep(seconds)
    took, cpu = time.monotonic() - began, used(pids) - before
    stored = count(deployment) - stored
    if not what:
        return
    named = {"server": cpu.server, "programs": cpu.programs, "daemons": cpu.daemons}
    shares = ", ".join(f"{name} {100 * value / took:.1f} %" for name, value in named.items())
    each = f", {1000 * cpu.total / stored:.1f} ms for each of {stored} snapshots" if stored else ""
    print(f"{what}: {100 * cpu.total / took:.1f} % of one core ({shares}){each}", flush=True)


def used(pids: list[int]) -> Used:
    server, *daemons = [stat(pid) for pid in pids]
    return Used(server[0], server[1], sum(own for own, _ in daemons))


def stat(pid: int) -> tuple[float, float]:
    """Seconds of CPU of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    user, system, of_children, system_of_children = map(int, fields[11:15])
    return (user + system) / TICKS, (of_children + system_of_children) / TICKS


def count(deployment: Deployment) -> int:
    """How many automatic snapshots have been stored: they are numbered."""
    return int(deployment_rows(deployment, "SELECT max(seq) FROM disk_snapshots")[0][0] or 0)


def deployment_rows(deployment: Deployment, query: str) -> list[tuple[int, ...]]:
    with sqlite3.connect(deployment.data / "catalog.sqlite") as catalog:
        return catalog.execute(query).fetchall()


def tell_lateness(deployment: Deployment, rhythm: Rhythm, began: float) -> None:
    """By how much later than due snapshots were begun, and how long storing them took."""
    late, stored = [], []
    rows = deployment_rows(
        deployment, "SELECT disk_id, created_ms, completed_ms FROM disk_snapshots"
    )
    for disk_id, created, completed in rows:
        if created < began * 1000 or completed is None:
            continue
        offset = offset_of(str(disk_id), [rhythm])
        due = rhythm.next_after(created, offset) - rhythm.period_ms
        late.append(created - due)
        stored.append(completed - created)
    for what, values in (("begun after it was due", late), ("stored after that", stored)):
        if len(values) > 1:
            worst = statistics.quantiles(values, n=100)[98]
            print(f"  {what}: {statistics.median(values):.0f} ms, p99 {worst:.0f} ms")


# --- requests to a bucket


def requests() -> None:
    bucket = RequestStore(MemoryStore(can_punch=False), lambda *_: None)
    with Vault.create_or_open(bucket, ManualClock(), VaultOptions()) as vault:
        snapshot(vault, "first", None, 256)
        parent = "first"
        for number, blocks in enumerate((0, 0, 1, 1)):
            before = sum(sizes(bucket.inner))
            with bucket.counting():
                snapshot(vault, f"s{number}", parent, blocks)
            parent = f"s{number}"
            kinds = ", ".join(f"{many} {kind}" for kind, many in sorted(bucket.counts.items()))
            stored = sum(sizes(bucket.inner)) - before
            print(
                f"{blocks * BLOCK_SIZE // 1024} KiB changed: {bucket.counts.total()} requests "
                f"({kinds}), {stored} bytes stored"
            )


def sizes(store: object) -> Iterator[int]:
    assert isinstance(store, MemoryStore)
    for name in store.names(""):
        yield store.tail(name, 0)[1]


def snapshot(vault: Vault, name: str, parent: str | None, blocks: int) -> None:
    """As an upload does: see first whether the parent is there."""
    assert parent is None or vault.has(parent)
    with vault.begin(info(name, SIZE_GB * GIB), parent) as writer:
        for number in range(blocks):
            writer.write(number * BLOCK_SIZE, random.randbytes(BLOCK_SIZE))
        writer.commit()


if __name__ == "__main__":
    main()
