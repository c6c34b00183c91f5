"""Moving instances to other hosts, and restoring those of a lost one; content compared whole."""

from __future__ import annotations

import os
import signal
from functools import partial
from random import Random

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import Client, RefusedError
from tests.e2e.hosts import (
    Cluster,
    attach,
    create_disk,
    create_instance,
    disk,
    host_of,
    instance,
    moved,
    snapshot_state,
    turn,
    uri,
)
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

MIB = 1024 * 1024
SPOTS = (0, 3 * MIB + 4096, 1024 * MIB, 8 * 1024 * MIB - MIB)
"""Where content is written and looked at; in between are zeros."""


def write(client: Client, name: str, seed: int) -> None:
    with BlockingNbdClient(uri(client, name)) as connection:
        for number, spot in enumerate(SPOTS):
            connection.write(spot, Random(seed + number).randbytes(MIB))
        connection.flush()


def holds(client: Client, name: str, seed: int) -> bool:
    """Whether the disk has what was written last, and zeros around it."""
    with BlockingNbdClient(uri(client, name)) as connection:
        written = all(
            connection.read(spot, MIB) == Random(seed + number).randbytes(MIB)
            for number, spot in enumerate(SPOTS)
        )
        return written and not any(connection.read(SPOTS[2] + MIB, MIB))


def move(client: Client, name: str, host: str) -> str:
    """Ask for the move of an instance; the id of its operation."""
    answer = client.act("move-instance", instanceName=name, hostName=host)
    return str(answer["operations"][-1]["id"])


def prepared(cluster: Cluster) -> Client:
    """Two hosts, a server without disks, and an instance with two disks on alpha."""
    cluster.start("alpha")
    cluster.start("beta")
    front = cluster.start("front", host=False)
    create_instance(front, "vm", host="alpha")
    for number, name in enumerate(("first", "second")):
        create_disk(front, name, host="alpha")
        attach(front, name, "vm", f"/dev/xvd{'fg'[number]}")
        write(front, name, number)
    return front


def folders(cluster: Cluster, host: str) -> set[str]:
    """The disks of which a host has layers."""
    found = (cluster.folder / host / "zones").glob("*/disks/*")
    return {one.name for one in found if one.is_dir() and any(one.iterdir())}


def has_nothing(cluster: Cluster, host: str) -> bool:
    return not folders(cluster, host)


def has_fallen(cluster: Cluster, name: str) -> bool:
    return cluster.servers[name].exit_code is not None


def is_stored(client: Client, name: str) -> bool:
    return snapshot_state(client, name) == "completed"


MOMENTS = (
    ("beta", "alpha", "upload_snapshot:store:done"),
    ("alpha", "alpha", "move_disks:make:begin"),
    ("beta", "beta", "move_disks:make:done"),
    ("alpha", "beta", "delete_disk:delete:begin"),
    ("beta", "beta", "move_disks:make:recorded"),
)
"""Where the instance goes, which host is killed, and when."""


def test_an_instance_moves_whatever_is_killed(cluster: Cluster) -> None:
    front = prepared(cluster)
    with pytest.raises(RefusedError, match="only stopped instances are moved"):
        move(front, "vm", "beta")
    for round_, (target, killed, moment) in enumerate(MOMENTS):
        turn(front, "vm", "StopInstance", "stopped")
        cluster.kill(killed)
        cluster.start(killed, "--moment", moment)
        asked = move(front, "vm", target)
        with pytest.raises(RefusedError, match="pending"):
            front.call("StartInstance", instanceName="vm")
        until(partial(has_fallen, cluster, killed), f"{killed} to fall")
        cluster.start(killed)
        moved(front, asked)

        assert host_of(instance(front, "vm")) == target
        assert [host_of(disk(front, name)) for name in ("first", "second")] == [target] * 2
        turn(front, "vm", "StartInstance", "running")
        seed = 10 * round_
        for number, name in enumerate(("first", "second")):
            assert holds(front, name, seed + number), f"{name} after {moment}"
            write(front, name, seed + 10 + number)
        other = "alpha" if target == "beta" else "beta"
        until(partial(has_nothing, cluster, other), f"{other} to remove what it had")
        assert len(folders(cluster, target)) == 2
    front.call("CreateInstanceSnapshot", instanceName="vm", instanceSnapshotName="end")
    assert len(cluster.steps("move_disks:make:recorded")) == len(MOMENTS)


def test_a_lost_host_is_restored_elsewhere(cluster: Cluster) -> None:
    front = prepared(cluster)
    create_disk(front, "unsaved", host="alpha")
    create_disk(front, "scratch", host="alpha")
    create_instance(front, "other", host="alpha")
    attach(front, "scratch", "other")
    for name in ("first", "second"):
        front.call("CreateDiskSnapshot", diskName=name, diskSnapshotName=f"of-{name}")
        until(partial(is_stored, front, f"of-{name}"), "the snapshot")
    write(front, "first", 77)  # after the snapshot: it is lost with the host
    code, told = cluster.operator("front", "fence", "alpha")
    assert (code, "was heard of just now" in told) == (2, True)
    code, told = cluster.operator("front", "restore-host", "alpha")
    assert (code, "is up, not fenced" in told) == (2, True)
    assert told.startswith("mooringd: The host alpha"), "a sentence, not what was sent"

    lost = cluster.servers["alpha"]
    os.kill(lost.pid, signal.SIGSTOP)
    until(lambda: disk(front, "first")["state"] == "error", "the disk to say so")
    problem = front.send("GET", "/mooring/disk?diskName=first", {}, b"")["problem"]
    assert "mooringd fence alpha" in problem
    until(lambda: cluster.operator("front", "fence", "alpha")[0] == 0, "the fence")
    assert cluster.operator("front", "hosts")[1].splitlines()[1].split()[:2] == ["alpha", "fenced"]
    code, told = cluster.operator("front", "restore-host", "alpha")
    assert code == 1
    assert "vm: to beta, from of-first, of-second" in told
    assert "unsaved: left. The disk unsaved has no stored snapshot" in told
    assert "other: left. The disk scratch has no stored snapshot" in told
    # What nobody misses can be deleted all the same.
    front.call("DeleteInstance", instanceName="other")
    front.call("DeleteDisk", diskName="scratch")
    until(lambda: instance(front, "vm")["state"]["name"] == "running", "the instance")
    assert host_of(instance(front, "vm")) == "beta"
    for number, name in enumerate(("first", "second")):
        assert holds(front, name, number)
        write(front, name, 50 + number)

    # What comes back serves nothing of what was restored, and says so.
    os.kill(lost.pid, signal.SIGCONT)
    until(lambda: "this host was fenced" in lost.log.read_text(), "alpha to see that")
    let_go = "a disk that was moved is served here no more"
    until(lambda: lost.log.read_text().count(let_go) == 2, "it to let go")
    until(lambda: disk(front, "unsaved")["state"] == "available", "the rest to be back")
    for number, name in enumerate(("first", "second")):
        assert host_of(disk(front, name)) == "beta"
        assert holds(front, name, 50 + number)
    cluster.kill("alpha")
    cluster.start("alpha")
    until(lambda: "lies here of before" in lost.log.read_text(), "alpha to tell what it has left")
    told = cluster.operator("alpha", "doctor")[1]
    assert "first" in told
    assert "moved to beta" in told
    # Nothing that may be newer than a snapshot is removed; what was deleted is.
    until(lambda: len(folders(cluster, "alpha")) == 3, "alpha to remove what was deleted")
    for name in ("first", "second"):
        assert disk(front, name)["state"] == "in-use"
