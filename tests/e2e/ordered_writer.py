"""A writer of several disks whose order shows of which instant they are."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping

from mooring.admin.demo.records import record, sequence_of
from mooring.model.errors import NbdError
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.crew import Asked
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

DISKS = ("data", "logs", "index")
BLOCKS = 40
"""Of each disk that are written, again and again in turn."""


class OrderedWriter:
    """Writes one record after the other, each to the next disk, and waits for each.

    So at any instant what has been written is all records up to one, and none after it. Each
    write is through all caches, so that it is still there when the storage daemon is killed.
    """

    def __init__(self, uris: list[str]) -> None:
        self._clients = [BlockingNbdClient(uri) for uri in uris]
        self._moments: list[tuple[float, float]] = [(0.0, 0.0)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ordered-writer")
        self._thread.start()

    def _run(self) -> None:
        for number in itertools.count(1):
            if self._stop.is_set():
                return
            disk, block = place(number)
            issued = time.monotonic()
            self._moments.append((issued, float("inf")))
            try:
                data = record(number, block)
                self._clients[disk].write(block * BLOCK_SIZE, data, fua=True)
            except NbdError:
                return
            self._moments[number] = (issued, time.monotonic())

    @property
    def written(self) -> int:
        return len(self._moments)

    def go_on(self) -> None:
        """Wait until much more is written."""
        wanted = self.written + 2 * len(DISKS) * BLOCKS
        until(lambda: self.written >= wanted, "the writer to go on")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        for client in self._clients:
            try:
                client.close()
            except NbdError:
                continue

    def check(self, uris: Mapping[str, str], asked: Asked) -> int:
        """Check that restored disks hold all records up to one; returns which that is.

        `uris` are those of all disks, or of some, by the names of the disks.
        """
        held = {DISKS.index(name): sequences(uri) for name, uri in uris.items()}
        last = max(max(one) for one in held.values())
        for disk, found in held.items():
            wanted = [0] * BLOCKS
            for number in range(max(1, last - len(DISKS) * BLOCKS + 1), last + 1):
                if place(number)[0] == disk:
                    wanted[place(number)[1]] = number
            assert found == wanted, f"{asked.name}: {DISKS[disk]} is not of write {last}"
        acknowledged = max(
            number
            for number, (_, done) in enumerate(self._moments)
            if done < asked.requested and (number == 0 or place(number)[0] in held)
        )
        issued = max(n for n, (began, _) in enumerate(self._moments) if began <= asked.replied)
        assert acknowledged <= last <= issued, asked.name
        return last


def place(number: int) -> tuple[int, int]:
    """The disk and the block of a record."""
    return number % len(DISKS), number // len(DISKS) % BLOCKS


def sequences(uri: str) -> list[int]:
    """Which record each block of a disk holds."""
    with BlockingNbdClient(uri) as client:
        data = client.read(0, BLOCKS * BLOCK_SIZE)
    return [
        sequence_of(data[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE], block)
        for block in range(BLOCKS)
    ]


def writer_on(deployment: Deployment) -> OrderedWriter:
    writer = OrderedWriter([deployment.used_disk(name) for name in DISKS])
    writer.go_on()
    return writer


def uris(deployment: Deployment, instance: str) -> dict[str, str]:
    """Of the disks of an instance made from a snapshot, when they are attached."""
    for disk in DISKS:
        deployment.until_disk(f"{instance}-{disk}", "attachmentState", "attached")
    return {
        disk: str(deployment.server.ask("uri", diskName=f"{instance}-{disk}")["uri"])
        for disk in DISKS
    }
