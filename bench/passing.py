"""How much longer create-disk-snapshot takes when it is passed on to the host.

    .venv/bin/python -m bench.passing --engine qemu --snapshots 200

One host and one server without disks use a catalog on a PostgreSQL of the bench's own, all on this
machine. The same client takes a snapshot through the one and through the other in turn, of disks
in turn, each on a connection that it keeps, and waits until all are stored before it goes on where
a disk has as many pending as it may have.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mooring.protocol.sigv4 import sign
from tests.catalog.postgresql import running
from tests.e2e.client import CONTENT_TYPE, TARGET
from tests.e2e.hosts import Cluster, attach, create_disk, create_instance
from tests.e2e.processes import end_all, until


class Keeping:
    """A client of one server, on one connection."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = urlsplit(environment["AWS_ENDPOINT_URL_LIGHTSAIL"]).netloc
        self._environment = environment
        self._connection = http.client.HTTPConnection(self._address, timeout=60)

    def call(self, operation: str, **members: object) -> tuple[float, Any]:
        """How many milliseconds it took, and the answer."""
        body = json.dumps(members).encode()
        headers = {
            "Host": self._address,
            "Content-Type": CONTENT_TYPE,
            "X-Amz-Target": f"{TARGET}.{operation}",
        }
        headers |= sign(
            "POST",
            "/",
            headers,
            body,
            access_key=self._environment["AWS_ACCESS_KEY_ID"],
            secret_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            region="us-east-2",
            service="lightsail",
            amz_date=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        )
        began = time.perf_counter()
        self._connection.request("POST", "/", body, headers)
        reply = self._connection.getresponse()
        answer = json.loads(reply.read())
        took = (time.perf_counter() - began) * 1000
        if reply.status != 200:
            raise SystemExit(f"{operation}: {answer}")
        return took, answer


def measure(cluster: Cluster, disks: int, snapshots: int) -> dict[str, list[float]]:
    """The milliseconds of each snapshot, by how it was asked for."""
    host = cluster.start("alpha")
    front = cluster.start("front", host=False)
    create_instance(front, "vm")
    names = [f"disk-{number}" for number in range(disks)]
    for number, name in enumerate(names):
        create_disk(host, name)
        attach(host, name, "vm", f"/dev/xvd{chr(ord('b') + number)}")
    ways = {
        "asked itself": Keeping(cluster.servers["alpha"].environment()),
        "passed on": Keeping(cluster.servers["front"].environment()),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(snapshots):
        for way, client in ways.items():
            made = f"{'direct' if way == 'asked itself' else 'passed'}-{number}"
            disk = names[number % disks]
            milliseconds, _ = client.call(
                "CreateDiskSnapshot", diskName=disk, diskSnapshotName=made
            )
            took[way].append(milliseconds)
        if number % disks == disks - 1:
            until(lambda: not _pending(ways["asked itself"]), "the snapshots")
    return took


def _pending(client: Keeping) -> bool:
    answer = client.call("GetDiskSnapshots")[1]
    return any(one["state"] == "pending" for one in answer["diskSnapshots"])


def main() -> int:
    """Print medians and 99th percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("memory", "qemu"), default="memory")
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--snapshots", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = running()
        cluster = Cluster(Path(folder), next(server).url(), options.engine)
        try:
            took = measure(cluster, options.disks, options.snapshots)
        finally:
            cluster.close()
            end_all(Path(folder))
            server.close()  # type: ignore[attr-defined]
    for way, milliseconds in took.items():
        cuts = statistics.quantiles(milliseconds[5:], n=100)
        print(f"{way:14} median {cuts[49]:6.1f} ms   p90 {cuts[89]:6.1f}   p99 {cuts[98]:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
