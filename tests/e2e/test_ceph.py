"""A server whose disks are in a Ceph cluster, as its users see it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from mooring.nbd.blocking import BlockingNbdClient
from tests.ceph_cluster import CHECKOUT, POOL, SPACE, USER, CephCluster
from tests.e2e.deployment import ZONE, Deployment
from tests.engine.harness import MIB, noise

pytestmark = pytest.mark.full


@pytest.fixture
def deployment(ceph: CephCluster, run_dir: Path) -> Iterator[Deployment]:
    deployed = Deployment(run_dir)
    yield deployed
    deployed.close()


PROMISES = "tests/vault/store/test_conformance.py"


@pytest.fixture
def settings(ceph: CephCluster, run_dir: Path) -> Path:
    file = run_dir / "mooring.toml"
    file.write_text(
        f'[ceph.{ZONE}]\npool = "{POOL}"\nnamespace = "{SPACE}"\nuser = "{USER}"\n'
        f'conf = "{ceph.folder / "ceph.conf"}"\n'
    )
    return file


def test_disks_live_in_the_cluster(
    deployment: Deployment, settings: Path, ceph: CephCluster
) -> None:
    command = [
        str(OWN_PROGRAMS / "mooringd"), "serve", "--port", "0", "--config", str(settings)
    ]  # fmt: skip
    deployment.start(*command)
    client = BlockingNbdClient(deployment.used_disk())
    client.write(0, noise(1, MIB))
    client.flush()
    deployment.snapshot("first")
    assert deployment.ended("first") == ["completed"]
    client.write(MIB, noise(2, MIB))
    client.flush()
    deployment.server.kill()
    client.write(2 * MIB, noise(3, MIB))
    deployment.start(*command)
    deployment.snapshot("second")
    assert deployment.ended("second") == ["completed"]

    with deployment.restored("first", "second") as uris:
        first, second = [BlockingNbdClient(uri) for uri in uris]
        assert first.read(0, 3 * MIB) == noise(1, MIB) + bytes(2 * MIB)
        assert second.read(0, 3 * MIB) == noise(1, MIB) + noise(2, MIB) + noise(3, MIB)
        first.close()
        second.close()
    deployment.act("fork", diskName="data", newDiskName="fork")
    deployment.until_disk("fork", "state", "available")
    fork = BlockingNbdClient(deployment.attach("fork", "host"))
    assert fork.read(2 * MIB, MIB) == noise(3, MIB)
    fork.close()
    client.close()
    assert len(ceph.images()) >= 4
    assert not list((deployment.data / "zones" / ZONE).rglob("base.raw*"))
    found = doctor(settings, deployment.data)
    assert "ok   Ceph: QEMU can open its images" in found
    assert f"ok   zone {ZONE}: Ceph, rbd:{POOL}/{SPACE}: HEALTH_" in found


def test_the_vault_is_in_the_clusters_object_gateway(
    deployment: Deployment, settings: Path, ceph: CephCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ceph.gateway().items():
        monkeypatch.setenv(name, value)
    with settings.open("a") as file:
        file.write(f'[regions.us-east-2]\nzones = ["{ZONE}"]\nvault = "s3://vault/here"\n')
        file.write(f'[s3]\nendpoint = "{os.environ["AWS_ENDPOINT_URL"]}"\nregion = "us-east-1"\n')
    deployment.start(
        str(OWN_PROGRAMS / "mooringd"), "serve", "--port", "0", "--config", str(settings)
    )
    client = BlockingNbdClient(deployment.used_disk())
    client.write(0, noise(1, MIB))
    deployment.snapshot("first")
    assert deployment.ended("first") == ["completed"]

    with deployment.restored("first") as (uri,):
        again = BlockingNbdClient(uri)
        assert again.read(0, MIB) == noise(1, MIB)
        again.close()
    client.close()


def test_the_object_gateway_keeps_what_a_vault_relies_on(
    ceph: CephCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conditional writes first: the same suite that qualifies any S3 service."""
    environment = {
        **os.environ, **ceph.gateway(), "MOORING_TEST_S3_URL": "s3://vault/promises"
    }  # fmt: skip
    # Ceph's own Python packages are of Debian, and some are older than what those tests use.
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "given", PROMISES],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def doctor(settings: Path, data: Path) -> str:
    done = subprocess.run(
        [OWN_PROGRAMS / "mooringd", "doctor", "--config", settings, "--data", data],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout
