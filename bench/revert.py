"""How long a revert takes, whatever the size and whatever was written since.

    .venv/bin/python -m bench.revert --sizes 8 100 1024 --changed-mib 16 1024

For each size in GB and each amount written since the snapshot, several times: a disk that is
attached, without clients, is reverted. `command` is from the start of `mooring revert` to its end,
`request` that of the request alone, `read` from the request to the first 4 KiB read of the
snapshot's data, with connecting. Beside it, in turns, the way without reverts: a new disk is made
from the snapshot, the old one detached, the new one attached in its place, and read; `other` is its
time, from the start of the first request. Medians in milliseconds, and the largest of `read`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import SHARED, ZONE, Deployment
from tests.e2e.processes import until

MIB = 1024 * 1024
PIECE = 4 * MIB


class Case:
    """A disk of one size, with a snapshot `then-NAME`."""

    def __init__(self, deployment: Deployment, size_gb: int, changed_mib: int) -> None:
        self.deployment = deployment
        self.size_gb, self.changed = size_gb, changed_mib * MIB
        self.name = f"disk-{size_gb}-{changed_mib}"
        self.then = f"then-{self.name}"
        self._turn = 0
        deployment.call(
            "CreateDisk",
            diskName=self.name,
            availabilityZone=ZONE,
            sizeInGb=size_gb,
            tags=SHARED,
        )
        deployment.until_disk(self.name, "state", "available")
        self.uri = deployment.attach(self.name, "host")
        self._content = self._write(64 * MIB)
        deployment.snapshot(self.then, self.name)
        assert deployment.ended(self.then) == ["completed"]

    def revert(self, *, by_command: bool) -> tuple[float, float]:
        """Seconds that it took, and until the first read."""
        self._write(self.changed)
        self._settle()
        began = time.monotonic()
        if by_command:
            self.deployment.server.run(
                "mooring", "revert", "--disk-name", self.name, "--disk-snapshot-name", self.then
            )
        else:
            self.deployment.act("revert", diskName=self.name, diskSnapshotName=self.then)
        took = time.monotonic() - began
        self._read()
        read = time.monotonic() - began
        self._wait_for_all()
        return took, read

    def replace(self) -> float:
        """Seconds until the first read of a new disk in the old one's place."""
        deployment, new = self.deployment, f"new-{self.name}"
        self._settle()
        began = time.monotonic()
        deployment.call(
            "CreateDiskFromSnapshot",
            diskName=new,
            diskSnapshotName=self.then,
            availabilityZone=ZONE,
            sizeInGb=self.size_gb,
            tags=SHARED,
        )
        deployment.until_disk(new, "state", "available")
        deployment.detach(self.name)
        with BlockingNbdClient(deployment.attach(new, "host")) as client:
            assert client.read(0, 4096) == self._content[:4096]
        took = time.monotonic() - began
        deployment.detach(new)
        deployment.call("DeleteDisk", diskName=new)
        self.uri = deployment.attach(self.name, "host")
        return took

    def _write(self, length: int) -> bytes:
        self._turn += 1
        step = self.size_gb * 1024 * MIB // max(1, length // PIECE) // PIECE * PIECE
        first = b""
        with BlockingNbdClient(self.uri) as client:
            for number in range(length // PIECE):
                data = os.urandom(PIECE)
                first = first or data
                client.write(number * step, data)
            client.flush()
        return first

    def _read(self) -> None:
        with BlockingNbdClient(self.uri) as client:
            assert client.read(0, 4096) == self._content[:4096]

    def _settle(self) -> None:
        # The clients have just left.
        ask = self.deployment.server.ask
        until(lambda: not ask("disk", diskName=self.name)["clients"], "the clients to be gone")

    def _wait_for_all(self) -> None:
        ask = self.deployment.server.ask
        until(lambda: ask("disk", diskName=self.name)["filled"], "the disk to be filled", 600)
        states = self.deployment.states
        until(lambda: "pending" not in states().values(), "all to be stored", 600)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 100, 1024])
    parser.add_argument("--changed-mib", type=int, nargs="+", default=[16, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    deployment = Deployment(folder)
    try:
        serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        deployment.start(*serve)
        deployment.instance("host")
        print("size GB  changed MiB  request  command     read  largest    other", flush=True)
        for size in options.sizes:
            for changed in options.changed_mib:
                print(measure(Case(deployment, size, changed), changed, options.rounds), flush=True)
        return 0
    finally:
        deployment.close()
        shutil.rmtree(folder, ignore_errors=True)


def measure(case: Case, changed: int, rounds: int) -> str:
    case.revert(by_command=False)  # the first one of a region waits for its snapshot server
    requests, commands, others = [], [], []
    for _ in range(rounds):
        requests.append(case.revert(by_command=False))
        commands.append(case.revert(by_command=True))
        others.append(case.replace())
    reads = [read for _, read in requests]

    def median(seconds: list[float]) -> str:
        return f"{statistics.median(seconds) * 1000:9.0f}"

    return (
        f"{case.size_gb:7}{changed:13}"
        + median([took for took, _ in requests])
        + median([took for took, _ in commands])
        + median(reads)
        + f"{max(reads) * 1000:9.0f}"
        + median(others)
    )


if __name__ == "__main__":
    sys.exit(main())
