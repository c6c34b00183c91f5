"""Instance snapshots of disks in use hold all disks at one instant, whatever is killed."""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
from collections.abc import Mapping

import pytest

from mooring.admin.demo.records import record, sequence_of
from mooring.model.errors import NbdError
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e import crashing_server
from tests.e2e.crew import Asked
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import PATIENCE, until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

DISKS = ("data", "logs", "index")
BLOCKS = 40
"""Of each disk that are written, again and again in turn."""

SNAPSHOTS = 8


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


def take(deployment: Deployment, name: str) -> Asked:
    requested = time.monotonic()
    answer = deployment.call(
        "CreateInstanceSnapshot", instanceName="host", instanceSnapshotName=name
    )
    replied = time.monotonic()
    assert [one["status"] for one in answer["operations"]] == ["Started", "Started"]
    return Asked(name, requested, replied)


def state(deployment: Deployment, name: str) -> str:
    answer = deployment.call("GetInstanceSnapshot", instanceSnapshotName=name)
    return str(answer["instanceSnapshot"]["state"])


def restored(deployment: Deployment, name: str) -> dict[str, str]:
    """An instance made from the snapshot; returns the URIs of its disks."""
    until(lambda: state(deployment, name) != "pending", f"{name} to end", 2 * PATIENCE)
    assert state(deployment, name) == "available"
    instance = f"from-{name}"
    deployment.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[instance],
        instanceSnapshotName=name,
        availabilityZone=ZONE,
        bundleId="external",
    )
    return uris(deployment, instance)


def uris(deployment: Deployment, instance: str) -> dict[str, str]:
    """Of the disks of an instance made from a snapshot, when they are attached."""
    for disk in DISKS:
        deployment.until_disk(f"{instance}-{disk}", "attachmentState", "attached")
    return {
        disk: str(deployment.server.ask("uri", diskName=f"{instance}-{disk}")["uri"])
        for disk in DISKS
    }


def discard(deployment: Deployment, name: str) -> None:
    """Delete the instance made from the snapshot, and its disks."""
    deployment.call("DeleteInstance", instanceName=f"from-{name}")
    for disk in DISKS:
        deployment.until_disk(f"from-{name}-{disk}", "attachmentState", "detached")
        deployment.call("DeleteDisk", diskName=f"from-{name}-{disk}")


def test_all_disks_are_of_one_instant(deployment: Deployment) -> None:
    deployment.start()
    writer = writer_on(deployment)
    choices = random.Random(41)
    try:
        taken = []
        for number in range(SNAPSHOTS):
            taken.append(take(deployment, f"s{number}"))
            time.sleep(choices.choice([0.0, choices.random() * 0.3]))
            if number % 4 == 3:
                until(lambda: state(deployment, taken[-1].name) != "pending", "the last to end")
                writer.go_on()
    finally:
        writer.stop()

    lasts = []
    for asked in taken:
        lasts.append(writer.check(restored(deployment, asked.name), asked))
        discard(deployment, asked.name)
    assert lasts == sorted(lasts)
    assert lasts[-1] > lasts[0] > 0
    cost = deployment.server.ask("instance-snapshot", instanceSnapshotName="s7")
    assert [part["incremental"] for part in cost["parts"]] == [True] * len(DISKS)
    assert 0 < cost["pauseSeconds"] < PATIENCE


def test_of_a_stopped_instance(deployment: Deployment) -> None:
    deployment.start()
    writer = writer_on(deployment)
    writer.stop()
    deployment.call("StopInstance", instanceName="host")
    until(lambda: deployment._instance_state("host") == "stopped", "the instance to stop")

    asked = take(deployment, "stopped")

    assert writer.check(restored(deployment, "stopped"), asked) == writer.written - 1


@pytest.mark.parametrize(
    ("victim", "moment"),
    [
        ("server", "request:prepared"),
        ("server", "request:switched"),
        ("both", "request:prepared"),
        ("both", "request:switched"),
        ("server", "request:frozen"),
        ("server", "store:written"),
        ("both", "store:done"),
        ("server", "store:recorded"),
    ],
)
def test_killed_it_is_of_one_instant_or_not_at_all(
    deployment: Deployment, victim: str, moment: str
) -> None:
    program = [sys.executable, "-m", crashing_server.__name__]
    deployment.start(*program, "--victim", victim, "--moment", moment)
    writer = writer_on(deployment)
    crashing_server.arm(deployment.data)
    requested = time.monotonic()
    try:
        asked = take(deployment, "crashed")
    except ConnectionError:
        asked = Asked("crashed", requested, time.monotonic())
    assert deployment.server.wait(PATIENCE), "the server lives"
    # Without an answer, the end of the server is the last moment at which it can have frozen.
    if moment.startswith("request:"):
        asked = Asked("crashed", requested, time.monotonic())
    if victim == "server":
        writer.go_on()
    writer.stop()

    deployment.start()

    listed = deployment.call("GetInstanceSnapshots")["instanceSnapshots"]
    taken_back = "crashed" not in [one["name"] for one in listed]
    assert taken_back == ((victim, moment) == ("server", "request:prepared"))
    if taken_back:
        asked = take(deployment, "crashed")
    writer.check(restored(deployment, "crashed"), asked)
    after = take(deployment, "next")
    assert writer.check(restored(deployment, "next"), after) >= 1


@pytest.mark.parametrize("victim", ["server", "both"])
@pytest.mark.parametrize("moment", crashing_server.RESTORE_MOMENTS)
def test_killed_while_it_is_restored_it_is_restored(
    deployment: Deployment, victim: str, moment: str
) -> None:
    program = [sys.executable, "-m", crashing_server.__name__]
    deployment.start(*program, "--victim", victim, "--moment", moment)
    writer = writer_on(deployment)
    asked = take(deployment, "saved")
    writer.stop()
    until(lambda: state(deployment, "saved") == "available", "the snapshot to be stored")
    crashing_server.arm(deployment.data)
    with contextlib.suppress(ConnectionError):  # it may die before it has answered
        deployment.call(
            "CreateInstancesFromSnapshot",
            instanceNames=["from-saved"],
            instanceSnapshotName="saved",
            availabilityZone=ZONE,
            bundleId="external",
        )
    assert deployment.server.wait(PATIENCE), "the server lives"

    deployment.start()

    until(lambda: deployment._instance_state("from-saved") == "running", "the instance to run")
    writer.check(uris(deployment, "from-saved"), asked)
    assert deployment.statuses("from-saved") == ["Succeeded"]
    until(
        lambda: deployment.server.ask("disk", diskName="from-saved-data")["filled"],
        "the disk to be filled",
    )
