"""A server that starts while its Ceph cluster is away."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from mooring.engine.qemu.stores.rbd.presence import check_there
from mooring.model.errors import ClusterAwayError
from mooring.nbd.blocking import BlockingNbdClient
from tests.ceph_cluster import POOL, SPACE, USER, CephCluster
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.engine.harness import MIB, noise

pytestmark = pytest.mark.full

OTHER = "us-east-2b"


@pytest.fixture
def deployment(ceph: CephCluster, run_dir: Path) -> Iterator[Deployment]:
    file = run_dir / "mooring.toml"
    file.write_text(
        f'[regions.us-east-2]\nzones = ["{ZONE}", "{OTHER}"]\n'
        f'[ceph.{ZONE}]\npool = "{POOL}"\nnamespace = "{SPACE}"\nuser = "{USER}"\n'
        f'conf = "{ceph.folder / "ceph.conf"}"\n'
    )
    deployed = Deployment(run_dir, file)
    yield deployed
    deployed.close()


def get(deployment: Deployment, path: str) -> str:
    url = deployment.server.environment()["AWS_ENDPOINT_URL_LIGHTSAIL"]
    try:
        with urllib.request.urlopen(f"{url}{path}") as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def doctor(deployment: Deployment) -> str:
    program: list[str | Path] = [OWN_PROGRAMS / "mooringd", "doctor", *deployment.settings]
    program += ["--data", deployment.data]
    return subprocess.run(program, capture_output=True, text=True, check=False).stdout


def test_a_zone_that_is_away_at_the_start_is_told_and_comes_back(
    deployment: Deployment, ceph: CephCluster
) -> None:
    deployment.start()
    client = BlockingNbdClient(deployment.used_disk())
    client.write(0, noise(1, MIB))
    client.flush()
    deployment.call("CreateDisk", diskName="file", availabilityZone=OTHER, sizeInGb=8)
    deployment.until_disk("file", "state", "available")
    deployment.snapshot("before")
    assert deployment.ended("before") == ["completed"]
    daemons = deployment.daemons()
    deployment.server.kill()
    ceph.kill_osd()
    try:
        deployment.start()

        assert deployment.call("GetDisk", diskName="data")["disk"]["state"] == "unknown"
        away = f"ZoneNotServed: .*the zone {ZONE} is away: the Ceph cluster of .* does not answer"
        with pytest.raises(RefusedError, match=away):
            deployment.snapshot("refused")
        with pytest.raises(RefusedError, match=away):
            deployment.call("CreateDisk", diskName="new", availabilityZone=ZONE, sizeInGb=8)
        ready = get(deployment, "/readyz")
        assert f"BAD  engine of {ZONE}: what the disks are in does not answer" in ready
        assert f'mooring_zone_away{{zone="{ZONE}"}} 1.0' in get(deployment, "/metrics")
        told = doctor(deployment)
        assert f"the zone {ZONE} is away, so 1 disk is not served" in told
        assert "not in the settings" not in told
        assert "a zone is away" in deployment.server.log.read_text()
        # The other one is served, and what runs in this one was left alone.
        deployment.snapshot("of-file", "file")
        assert deployment.ended("of-file") == ["completed"]
        assert deployment.daemons() == daemons
    finally:
        ceph.start_osd()

    def is_back() -> bool:
        return bool(deployment.call("GetDisk", diskName="data")["disk"]["state"] == "in-use")

    until(is_back, "the zone to be taken up")
    assert f'mooring_zone_away{{zone="{ZONE}"}} 0.0' in get(deployment, "/metrics")
    assert deployment.daemons() == daemons
    client.write(MIB, noise(2, MIB))
    client.flush()
    deployment.snapshot("after")
    assert deployment.ended("after") == ["completed"]
    with deployment.restored("after") as (uri,):
        again = BlockingNbdClient(uri)
        assert again.read(0, 3 * MIB) == noise(1, MIB) + noise(2, MIB) + bytes(MIB)
        again.close()
    client.close()


def test_monitors_that_do_not_answer_are_a_cluster_that_is_away(ceph: CephCluster) -> None:
    check_there(ceph.place())
    monitor = int((ceph.folder / "run" / "mon.x.pid").read_text())
    os.kill(monitor, signal.SIGSTOP)
    try:
        with pytest.raises(ClusterAwayError, match="does not answer"):
            check_there(ceph.place(answer_seconds=2.0))
    finally:
        os.kill(monitor, signal.SIGCONT)
