"""A snapshot of a disk in use every second, through a kill of the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from mooring.model.automatic.rhythm import RHYTHMS_TAG
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until

pytestmark = pytest.mark.full

EVERY_SECOND = "every second keep 10 minutes / every minute keep 1 hour"


class Counter:
    """Writes a number into the first block, again and again: one more each time."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._stop = threading.Event()
        self.written: list[tuple[float, float]] = []
        """For each number when it was begun, and when it was acknowledged."""

    def write(self) -> None:
        with BlockingNbdClient(self._uri) as client:
            while not self._stop.wait(0.02):
                begun = time.time()
                client.write(0, len(self.written).to_bytes(8, "big").ljust(BLOCK_SIZE, b"\0"))
                self.written.append((begun, time.time()))

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.write)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()


def stored(deployment: Deployment) -> list[Mapping[str, Any]]:
    """The automatic snapshots that are stored, oldest first."""
    answer = deployment.call("GetAutoSnapshots", resourceName="data")
    found = [one for one in answer["autoSnapshots"] if one["status"] == "Success"]
    return list(reversed(found))


def number_in(deployment: Deployment, date: str, disk: str) -> int:
    deployment.call(
        "CreateDiskFromSnapshot",
        diskName=disk,
        sourceDiskName="data",
        restoreDate=date,
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    deployment.until_disk(disk, "state", "available")
    with BlockingNbdClient(deployment.attach(disk, "reader")) as client:
        return int.from_bytes(client.read(0, 8), "big")


def test_a_snapshot_every_second(deployment: Deployment) -> None:
    deployment.start()
    counter = Counter(deployment.used_disk())
    with counter.running():
        deployment.call(
            "TagResource", resourceName="data", tags=[{"key": RHYTHMS_TAG, "value": EVERY_SECOND}]
        )
        until(lambda: len(stored(deployment)) >= 6, "six to be stored")
        deployment.server.kill()
        before = time.time()
        deployment.start()
        until(
            lambda: len([one for one in stored(deployment) if one["createdAt"] > before]) >= 4,
            "four more to be stored",
        )
        tags = {"resourceName": "data", "tagKeys": [RHYTHMS_TAG]}
        deployment.call("UntagResource", **tags)

    found = stored(deployment)
    # At most one in each second: none is made up for by more than one.
    seconds = [int(one["createdAt"]) for one in found]
    assert len(set(seconds)) == len(seconds)
    # Each has what was acknowledged before it was due, and they follow each other.
    deployment.instance("reader")
    numbers = []
    for count, one in enumerate((found[0], found[len(found) // 2], found[-1])):
        number = number_in(deployment, str(one["date"]), f"restored-{count}")
        acknowledged = [end for _, end in counter.written if end < one["createdAt"]]
        assert number >= len(acknowledged) - 1
        numbers.append(number)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] < len(counter.written)
