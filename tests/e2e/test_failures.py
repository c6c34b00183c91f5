"""Full and failing disks, broken layers, hanging daemons: what clients and operators are told."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import client_program
from mooring.model.errors import NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until

pytestmark = pytest.mark.full

MIB = 1024 * 1024
NO_MARGIN = "[room]\nmargin_mib = 0\n"
OURS = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]


@contextlib.contextmanager
def small(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(folder: Path) -> Path:
    """Leave no room; returns what to delete to have it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


def noise(seed: int, length: int = 8 * MIB) -> bytes:
    return random.Random(seed).randbytes(length)


def write(uri: str, offset: int, data: bytes) -> None:
    with BlockingNbdClient(uri) as client:
        client.write(offset, data)
        client.flush()


def check_snapshot(deployment: Deployment, name: str, expected: bytes) -> None:
    """It completes, and a disk made from it holds what it must."""
    assert deployment.ended(name) == ["completed"]
    with deployment.restored(name) as (uri,), BlockingNbdClient(uri) as client:
        assert client.read(0, len(expected)) == expected


def test_full_vault(deployment: Deployment) -> None:
    with small(deployment.folder / "vault", "48m") as vault:
        settings = deployment.folder / "settings.toml"
        region = f'[regions.us-east-2]\nzones = ["{ZONE}"]\nvault = "{vault}"\n'
        settings.write_text(region + NO_MARGIN)
        deployment.start(*OURS, "--config", str(settings))
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        ballast = fill_up(vault)

        deployment.snapshot("s1")
        log = deployment.folder / "server.log"
        until(lambda: "DiskFullError" in log.read_text(), "the upload to find no room")
        write(uri, 8 * MIB, noise(2))
        assert deployment.states() == {"s1": "pending"}

        ballast.unlink()
        check_snapshot(deployment, "s1", noise(1))
        assert deployment.statuses("s1") == ["Succeeded"]
        deployment.snapshot("s2")
        check_snapshot(deployment, "s2", noise(1) + noise(2))
        deployment.close()


def test_full_layers(deployment: Deployment) -> None:
    with small(deployment.data / "zones", "48m") as zones:
        settings = deployment.folder / "settings.toml"
        settings.write_text(NO_MARGIN)
        deployment.start(*OURS, "--config", str(settings))
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        ballast = fill_up(zones)

        with pytest.raises(RefusedError, match="no space for disk") as caught:
            deployment.snapshot("s1")
        assert caught.value.type == "OperationFailureException"
        assert deployment.states() == {}
        with pytest.raises(NbdError), BlockingNbdClient(uri) as client:
            client.write(16 * MIB, noise(2))

        ballast.unlink()
        write(uri, 8 * MIB, noise(2))
        deployment.snapshot("s1")
        check_snapshot(deployment, "s1", noise(1) + noise(2))
        deployment.close()


def copy(source: Path, target: Path) -> None:
    """Keep the holes of a base."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def remove(layer: Path, other: Path) -> None:
    del other
    layer.unlink()


def truncate(layer: Path, other: Path) -> None:
    del other
    # In the midst of its first table.
    os.truncate(layer, 400 * 1024)


def put_another(layer: Path, other: Path) -> None:
    shutil.copyfile(other, layer)


@pytest.mark.parametrize(
    ("damage", "told"),
    [(remove, "is missing"), (truncate, "truncated"), (put_another, "belongs to disk")],
)
def test_broken_layer(
    deployment: Deployment, damage: Callable[[Path, Path], None], told: str
) -> None:
    deployment.start()
    write(deployment.used_disk("data"), 0, noise(1))
    deployment.disk("other")
    deployment.snapshot("good")
    assert deployment.ended("good") == ["completed"]
    write(str(deployment.server.ask("uri", diskName="data")["uri"]), 0, noise(2))
    deployment.detach("data")
    data, other = (newest_layer(deployment, name) for name in ("data", "other"))
    if damage is remove:
        data = data.with_name("base.raw")
    deployment.server.stop()
    kept = deployment.folder / "kept"
    copy(data, kept)

    damage(data, other)
    deployment.start()

    failed = attach_in_vain(deployment, "data")
    assert failed["errorCode"] == "LayerDamaged"
    assert told in failed["errorDetails"]
    assert data.name in failed["errorDetails"]
    for running in (True, False):
        if not running:
            deployment.server.stop()
        said = doctor(deployment)
        assert f"BAD  disk data in {ZONE}: " in said
        assert told in said
        assert "make a new disk from the snapshot good" in said
        assert f"ok   disk other in {ZONE}" in said

    copy(kept, data)
    deployment.start()
    with BlockingNbdClient(deployment.attach("data", "host")) as client:
        assert client.read(0, 8 * MIB) == noise(2)
    deployment.snapshot("after")
    check_snapshot(deployment, "after", noise(2))


def newest_layer(deployment: Deployment, disk: str) -> Path:
    disk_id = str(deployment.server.ask("disk", diskName=disk)["id"])
    return max((deployment.data / "zones" / ZONE / "disks" / disk_id).glob("*.qcow2"))


def attach_in_vain(deployment: Deployment, disk: str) -> dict[str, str]:
    """The operation that tells why a disk could not be attached."""
    deployment.call("AttachDisk", diskName=disk, instanceName="host", diskPath="/dev/xvdz")
    deployment.until_disk(disk, "state", "available")
    operations = deployment.call("GetOperationsForResource", resourceName=disk)["operations"]
    return dict(next(one for one in operations if one["operationType"] == "AttachDisk"))


def doctor(deployment: Deployment) -> str:
    """What `mooringd doctor` says when something is wrong."""
    words = [str(client_program("mooringd")), "doctor", "--data", str(deployment.data)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_hanging_daemon(deployment: Deployment) -> None:
    settings = deployment.folder / "settings.toml"
    settings.write_text("[engine]\nanswer_seconds = 2.0\n")
    deployment.start(*OURS, "--config", str(settings))
    uri = deployment.used_disk()
    write(uri, 0, noise(1))
    (daemon,) = deployment.daemons().values()

    os.kill(daemon, signal.SIGSTOP)
    try:
        with pytest.raises(RefusedError, match="has not answered") as caught:
            deployment.snapshot("s1")
        assert caught.value.type == "OperationFailureException"
        assert deployment.states() == {}
        said = doctor(deployment)
        assert f"BAD  disk data in {ZONE}: the storage daemon" in said
        assert "end it: another one takes its place" in said
    finally:
        os.kill(daemon, signal.SIGCONT)

    write(uri, 8 * MIB, noise(2))
    deployment.snapshot("s1")
    check_snapshot(deployment, "s1", noise(1) + noise(2))
