"""A host whose machine stands still for 40 seconds, with the usual waits."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from random import Random

import pytest

from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import Client
from tests.e2e.hosts import (
    Cluster,
    attach,
    create_disk,
    create_instance,
    disk,
    host_of,
    instance,
    snapshot_state,
)
from tests.e2e.processes import stands_still, storage_daemons, until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

MIB = 1024 * 1024
STANDSTILL_SECONDS = 40.0
"""Longer than a lease, than a host may be silent, and than its answer is waited for."""


def connected(client: Client, name: str) -> BlockingNbdClient:
    return BlockingNbdClient(
        str(client.send("GET", f"/mooring/uri?diskName={name}", {}, b"")["uri"])
    )


def noise(seed: int) -> bytes:
    return Random(seed).randbytes(MIB)


def is_stored(client: Client, name: str) -> bool:
    return snapshot_state(client, name) == "completed"


def test_a_host_that_wakes_serves_and_records_nothing_that_others_have(cluster: Cluster) -> None:
    """It falls asleep in the midst of storing a snapshot, with a client at its disk."""
    cluster.start("alpha", "--usual-waits")
    cluster.start("beta", "--usual-waits")
    front = cluster.start("front", "--usual-waits", host=False)
    for name, vm in (("data", "vm"), ("unsaved", "other")):
        create_instance(front, vm, "alpha")
        create_disk(front, name, "alpha")
        attach(front, name, vm)
    writer = connected(front, "data")
    writer.write(0, noise(1))
    front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="first")
    until(lambda: snapshot_state(front, "first") == "completed", "the snapshot")
    cluster.kill("alpha")
    moment = ("--moment", "upload_snapshot:store:done", "--signal", "STOP")
    cluster.start("alpha", "--usual-waits", *moment)
    alpha = cluster.servers["alpha"]
    writer.write(MIB, noise(2))
    front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="second")
    until(lambda: stands_still(alpha.pid), "alpha to stand still")
    asleep = time.monotonic()
    found = storage_daemons(cluster.folder / "alpha" / "run")
    machine = [alpha.pid, *(one.pid for one in found.values())]
    for one in found.values():
        one.close()
    assert len(machine) == 3
    for pid in machine:
        os.kill(pid, signal.SIGSTOP)

    until(lambda: disk(front, "data")["state"] == "error", "the disk to say so")
    assert time.monotonic() - asleep > 5, "hosts may be silent for a while"
    code, told = cluster.operator("front", "fence", "alpha")
    assert code == 0, told
    told = cluster.operator("front", "restore-host", "alpha")[1]
    assert "vm: to beta, from first" in told
    until(lambda: instance(front, "vm")["state"]["name"] == "running", "the instance")
    with connected(front, "data") as again:
        assert again.read(0, 2 * MIB) == noise(1) + bytes(MIB)
        again.write(0, noise(3))
        again.flush()
    time.sleep(max(0.0, asleep + STANDSTILL_SECONDS - time.monotonic()))
    for pid in reversed(machine):
        os.kill(pid, signal.SIGCONT)

    # Whoever still uses the disk there is cut off, and nobody else gets to it.
    until(lambda: is_cut_off(writer), "the client to be cut off")
    until(lambda: disk(front, "unsaved")["state"] == "in-use", "the rest to be back")
    log = alpha.log
    until(lambda: "a job is given up here" in log.read_text(), "alpha to see that it lost the job")
    assert cluster.steps("upload_snapshot:store:recorded") == ["alpha"], "that of the first"
    assert snapshot_state(front, "second") == "error"
    told = front.call("GetOperationsForResource", resourceName="second")["operations"]
    assert [(one["status"], one["errorCode"]) for one in told] == [("Failed", "HostFenced")]
    assert host_of(disk(front, "data")) == "beta"
    with connected(front, "data") as again:
        assert again.read(0, 2 * MIB) == noise(3) + bytes(MIB)
    # Both are hosts as before.
    for name in ("data", "unsaved"):
        front.call("CreateDiskSnapshot", diskName=name, diskSnapshotName=f"of-{name}")
        until(partial(is_stored, front, f"of-{name}"), "a snapshot")
    assert sorted(cluster.steps("upload_snapshot:store:recorded")[1:]) == ["alpha", "beta"]


def is_cut_off(client: BlockingNbdClient) -> bool:
    try:
        client.write(2 * MIB, noise(9))
    except (NbdError, OSError):
        with suppress(NbdError, OSError):
            client.close()
        return True
    return False
