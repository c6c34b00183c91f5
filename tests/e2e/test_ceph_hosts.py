"""Hosts whose disks are in one Ceph cluster: one is lost, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.ceph_cluster import CephCluster
from tests.e2e import processes
from tests.e2e.ceph_zone import ceph_zone, connected, standing_still
from tests.e2e.hosts import Cluster, attach, create_disk, create_instance, disk, host_of, uri
from tests.e2e.processes import until
from tests.engine.harness import MIB, noise

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]


@pytest.fixture
def of_hosts(ceph: CephCluster) -> str:
    return ceph_zone(ceph)


def test_a_lost_hosts_disks_go_on_elsewhere_as_they_were(cluster: Cluster) -> None:
    alpha = cluster.start("alpha")
    beta = cluster.start("beta")
    # Who does not know the cluster: what is shared it has from the catalog.
    cluster.start("front", host=False)
    create_disk(alpha, "data", host="alpha")
    create_instance(alpha, "vm", host="alpha")
    attach(alpha, "data", "vm")
    client = BlockingNbdClient(uri(alpha, "data"))
    client.write(0, noise(1, MIB))
    client.flush()
    lost = [one.pid for one in processes.storage_daemons(cluster.folder / "alpha" / "run").values()]
    assert lost
    with cluster.stopped("alpha"), standing_still(lost):
        until(lambda: disk(beta, "data")["state"] == "error", "the host to be missed")
        code, told = cluster.operator("front", "fence", "alpha")
        assert code == 0, told
        assert "shut out" not in told, "beta has done that"
        code, told = cluster.operator("front", "restore-host", "alpha")
        assert code == 0, told
        assert "vm: to beta, as it was" in told
        until(lambda: host_of(disk(beta, "data")) == "beta", "the disk to be there")
        until(lambda: disk(beta, "data")["state"] == "in-use", "the disk to be served")
        again = connected(beta, "data")
        assert again.read(0, MIB) == noise(1, MIB)
        again.write(MIB, noise(2, MIB))
        again.flush()

    with pytest.raises(NbdError):
        overwrite(client)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in lost), "its daemons to end")
    log = cluster.servers["alpha"].log
    until(lambda: "what was restored elsewhere" in log.read_text(), "the catalog to be asked")
    assert "this host was fenced" in log.read_text()
    assert state_of_alpha(cluster) == "fenced", "it can do nothing before it is started again"
    assert again.read(0, 3 * MIB) == noise(1, MIB) + noise(2, MIB) + bytes(MIB)
    again.close()
    cluster.kill("alpha")
    cluster.start("alpha")
    assert state_of_alpha(cluster) == "up"


def test_a_command_has_a_dead_hosts_disks_go_on_elsewhere(cluster: Cluster) -> None:
    """As above, without anybody: with what was flushed, though there is no snapshot."""
    cluster.more += '[hosts]\nfence_command = ["/bin/true"]\n'
    alpha = cluster.start("alpha")
    beta = cluster.start("beta")
    create_disk(alpha, "unattended", host="alpha")
    create_instance(alpha, "unattended-vm", host="alpha")
    attach(alpha, "unattended", "unattended-vm")
    client = BlockingNbdClient(uri(alpha, "unattended"))
    client.write(0, noise(1, MIB))
    client.flush()
    lost = [one.pid for one in processes.storage_daemons(cluster.folder / "alpha" / "run").values()]
    assert lost
    with cluster.stopped("alpha"), standing_still(lost):
        until(lambda: host_of(disk(beta, "unattended")) == "beta", "the disk to be there")
        until(lambda: disk(beta, "unattended")["state"] == "in-use", "the disk to be served")
        again = connected(beta, "unattended")
        assert again.read(0, MIB) == noise(1, MIB)

    with pytest.raises(NbdError):
        overwrite(client)
    assert again.read(0, 3 * MIB) == noise(1, MIB) + bytes(2 * MIB)
    again.close()


def overwrite(client: BlockingNbdClient) -> None:
    for offset in range(0, 64 * MIB, MIB):
        client.write(offset, noise(9, 4096))
        client.flush()


def state_of_alpha(cluster: Cluster) -> str:
    name, state = cluster.operator("beta", "hosts")[1].splitlines()[1].split()[:2]
    assert name == "alpha"
    return state
