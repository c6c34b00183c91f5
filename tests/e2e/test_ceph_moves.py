"""Moves between hosts that reach the same Ceph cluster: the disks stay as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ceph_cluster import CephCluster
from tests.e2e import processes
from tests.e2e.ceph_zone import ceph_zone, connected, standing_still
from tests.e2e.client import Client
from tests.e2e.hosts import (
    ZONE,
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
)
from tests.e2e.processes import stands_still, until
from tests.engine.harness import MIB, noise

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]


@pytest.fixture
def of_hosts(ceph: CephCluster) -> str:
    return ceph_zone(ceph)


def move(client: Client, request: str, **members: str) -> str:
    """Ask for a move, which takes no snapshot; the id of its operation."""
    answer = client.act(request, **members)
    assert answer["snapshotName"] is None
    return str(answer["operations"][-1]["id"])


def is_filled(client: Client, name: str) -> bool:
    return bool(client.send("GET", f"/mooring/disk?diskName={name}", {}, b"")["filled"])


def snapshots(client: Client) -> list[str]:
    return sorted(one["name"] for one in client.call("GetDiskSnapshots")["diskSnapshots"])


def test_a_disk_goes_to_and_fro_without_a_snapshot(cluster: Cluster) -> None:
    """Although the host that it goes to is killed."""
    alpha = cluster.start("alpha")
    cluster.start("beta", "--moment", "move_disks:make:done")
    front = cluster.start("front", host=False)
    create_disk(alpha, "data", host="alpha")
    create_instance(alpha, "vm", host="alpha")
    attach(alpha, "data", "vm")
    with connected(alpha, "data") as client:
        client.write(0, noise(1, MIB))
        client.flush()
    # What is stored, and merged afterwards, is done before the disk goes.
    alpha.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="on-alpha")
    turn(alpha, "vm", "StopInstance", "stopped")
    asked = move(front, "move-instance", instanceName="vm", hostName="beta")
    until(lambda: cluster.servers["beta"].exit_code is not None, "beta to fall")
    beta = cluster.start("beta")
    moved(front, asked)
    assert snapshot_state(front, "on-alpha") == "completed"
    assert host_of(disk(front, "data")) == host_of(instance(front, "vm")) == "beta"

    turn(front, "vm", "StartInstance", "running")
    with connected(beta, "data") as client:
        assert client.read(0, 2 * MIB) == noise(1, MIB) + bytes(MIB)
        client.write(MIB, noise(2, MIB))
        client.flush()
    beta.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="on-beta")
    turn(front, "vm", "StopInstance", "stopped")
    front.call("DetachDisk", diskName="data")
    until(lambda: disk(front, "data")["state"] == "available", "the disk to be detached")
    moved(front, move(front, "move-disk", diskName="data", hostName="alpha"))
    create_instance(alpha, "other", host="alpha")
    attach(alpha, "data", "other")
    with connected(alpha, "data") as client:
        assert client.read(0, 3 * MIB) == noise(1, MIB) + noise(2, MIB) + bytes(MIB)
    assert snapshots(front) == ["on-alpha", "on-beta"], "none was taken to move by"


def make_disk(client: Client, name: str, snapshot: str, host: str) -> None:
    client.call(
        "CreateDiskFromSnapshot",
        diskName=name,
        diskSnapshotName=snapshot,
        availabilityZone=ZONE,
        sizeInGb=8,
        tags=[{"key": "mooring:host", "value": host}],
    )
    until(lambda: disk(client, name)["state"] == "available", f"the disk {name}")


def test_what_was_filled_and_stored_goes_on_where_the_disk_goes(cluster: Cluster) -> None:
    """What it reads from, though deleted meanwhile, is there until the disk does without it."""
    cluster.of_engine = "fill_mib_per_second = 4\n"
    alpha = cluster.start("alpha", "--moment", "upload_snapshot:store:begin", "--signal", "STOP")
    beta = cluster.start("beta")
    create_disk(beta, "origin", host="beta")
    create_instance(beta, "source", host="beta")
    attach(beta, "origin", "source")
    with connected(beta, "origin") as client:
        client.write(0, noise(3, 64 * MIB))
        client.flush()
    beta.call("CreateDiskSnapshot", diskName="origin", diskSnapshotName="before")
    until(lambda: snapshot_state(beta, "before") == "completed", "the snapshot")
    make_disk(alpha, "made", "before", "alpha")
    create_instance(alpha, "vm", host="alpha")
    attach(alpha, "made", "vm")
    with connected(alpha, "made") as client:
        client.write(0, noise(4, MIB))
        client.flush()
    assert not is_filled(alpha, "made")
    lost = [one.pid for one in processes.storage_daemons(cluster.folder / "alpha" / "run").values()]
    # Once it has begun to store that, the host stands still, perhaps before it has answered.
    with ThreadPoolExecutor() as pool:
        pool.submit(alpha.call, "CreateDiskSnapshot", diskName="made", diskSnapshotName="late")
        until(lambda: stands_still(cluster.servers["alpha"].pid), "it to be begun")
        with cluster.stopped("alpha"), standing_still(lost):
            until(lambda: disk(beta, "made")["state"] == "error", "the host to be missed")
            code, told = cluster.operator("beta", "fence", "alpha")
            assert code == 0, told
            beta.call("DeleteDiskSnapshot", diskSnapshotName="before")
            assert snapshot_state(beta, "late") == "pending"
            code, told = cluster.operator("beta", "restore-host", "alpha")
            assert code == 0, told
            until(lambda: disk(beta, "made")["state"] == "in-use", "the disk to be served")
            written = noise(4, MIB) + noise(3, 64 * MIB)[MIB:]
            with connected(beta, "made") as client:
                assert client.read(0, 64 * MIB) == written
                client.write(0, bytes(MIB))
                client.flush()
            until(lambda: snapshot_state(beta, "late") == "completed", "it to be stored")
            until(lambda: is_filled(beta, "made"), "it to be filled")
    cluster.kill("beta")
    beta = cluster.start("beta")
    with connected(beta, "made") as client:
        assert client.read(0, 64 * MIB) == bytes(MIB) + written[MIB:]
    make_disk(beta, "again", "late", "beta")
    attach(beta, "again", "source", "/dev/xvdg")
    with connected(beta, "again") as client:
        assert client.read(0, 64 * MIB) == written
