"""File systems filled to the last byte, and how one gets out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from mooring.admin.demo.server import DemoError
from mooring.files import WRITING
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e import processes
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.mounts import MIB, file_system

pytestmark = pytest.mark.full

MANY = 100
OURS = [sys.executable, "-m", "mooring.admin.main"]


class Ballast:
    """A file that takes all the room there is, also what becomes free, until it is removed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"
        self._file = self._path.open("wb", buffering=0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._grow)

    def __enter__(self) -> Ballast:
        with contextlib.suppress(OSError):
            while True:
                self._file.write(bytes(MIB))
        self._grow_once()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._file.close()
        self._path.unlink()

    def _grow(self) -> None:
        while not self._over.wait(0.01):
            self._grow_once()

    def _grow_once(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                self._file.write(bytes(4096))
                os.fdatasync(self._file.fileno())


def noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(8 * MIB)


def write(uri: str, offset: int, data: bytes) -> None:
    with BlockingNbdClient(uri) as client:
        client.write(offset, data)
        client.flush()


def content(uri: str, length: int) -> bytes:
    with BlockingNbdClient(uri) as client:
        return client.read(0, length)


def refused(deployment: Deployment, operation: str, **members: object) -> str:
    """What is said, at once and not as a fault of the server, which clients repeat."""
    with pytest.raises(RefusedError) as caught:
        deployment.call(operation, **members)
    assert caught.value.type == "OperationFailureException"
    assert "free of" in str(caught.value)
    return str(caught.value)


def mooringd(deployment: Deployment, *command: str) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        [*OURS, *command, "--data", str(deployment.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in found.stderr
    return found


def temporary(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.endswith(WRITING)]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_deleting_leads_out_of_a_full_file_system(deployment: Deployment, kind: str) -> None:
    with file_system(deployment.data, kind) as mount:
        deployment.start()
        uri = deployment.used_disk()
        deployment.used_disk("other", "another")
        deployment.disk("spare")
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        write(uri, 0, noise(2))
        deployment.snapshot("s2")
        assert deployment.ended("s1", "s2") == ["completed", "completed"]
        with Ballast(mount):
            made = {"availabilityZone": ZONE, "sizeInGb": 8}
            new = {"diskName": "data", "diskSnapshotName": "s3"}
            assert str(mount) in refused(deployment, "CreateDiskSnapshot", **new)
            refused(deployment, "CreateDisk", diskName="new", **made)
            of = {"diskName": "new", "diskSnapshotName": "s1"}
            refused(deployment, "CreateDiskFromSnapshot", **of, **made)

            tags = [{"key": "a", "value": "b"}]
            for _ in range(40):
                deployment.call("TagResource", resourceName="data", tags=tags)
                deployment.call("UntagResource", resourceName="data", tagKeys=["a"])
            deployment.call("DeleteDiskSnapshot", diskSnapshotName="s1")
            deployment.call("DeleteDisk", diskName="spare")
            deployment.detach("other")
            deployment.call("DeleteInstance", instanceName="another")
            until(lambda: set(deployment.statuses("s1")) == {"Succeeded"}, "s1 to be gone")
            until(lambda: set(deployment.statuses("spare")) == {"Succeeded"}, "spare to be gone")
            until(lambda: deployment.statuses("another")[0] == "Succeeded", "another to be gone")
            create = ["keys", "create", "late", "--role", "read-only"]
            assert mooringd(deployment, *create).returncode == 0
            assert mooringd(deployment, "doctor").returncode == 1

            deployment.server.stop()
            deployment.start()
            deployment.server.kill()
            deployment.start()
            assert deployment.states() == {"s2": "completed"}
            assert temporary(deployment.data) == []
            assert mooringd(deployment, "keys", "delete", "late").returncode == 0
            assert mooringd(deployment, "collect").returncode == 0
            deployment.call("DeleteDisk", diskName="other")
            assert content(uri, 8 * MIB) == noise(2)

        write(uri, 8 * MIB, noise(3))
        deployment.snapshot("s3")
        assert deployment.ended("s3") == ["completed"]
        with deployment.restored("s2", "s3") as (second, third):
            assert content(second, 16 * MIB) == noise(2) + bytes(8 * MIB)
            assert content(third, 16 * MIB) == noise(2) + noise(3)
        reserve = deployment.data / "reserve"
        until(lambda: reserve.exists() and any(reserve.iterdir()), "the reserve to be back")
        deployment.close()


def test_a_full_vault_of_its_own(deployment: Deployment) -> None:
    with file_system(deployment.folder / "vault", "ext4", 100 * MIB) as vault:
        settings = deployment.folder / "settings.toml"
        settings.write_text(
            f'[regions.us-east-2]\nzones = ["{ZONE}"]\nvault = "{vault}"\n'
            "[vault]\ncollect_minutes = 0\n"
        )
        deployment.start(*OURS, "serve", "--port", "0", "--config", str(settings))
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        write(uri, 0, noise(2))
        deployment.snapshot("s2")
        assert deployment.ended("s1", "s2") == ["completed", "completed"]
        until((vault / ".reserve").exists, "the vault to have a reserve")
        with Ballast(vault):
            said = refused(deployment, "CreateDiskSnapshot", diskName="data", diskSnapshotName="s3")
            assert f"the vault of us-east-2, {vault}" in said
            deployment.disk("new")  # the disks have room
            url = json.loads((deployment.data / "server.json").read_text())["url"]
            with urllib.request.urlopen(f"{url}/metrics") as answer:
                metrics = answer.read().decode()
            assert 'mooring_file_system_free_bytes{use="vault of us-east-2"}' in metrics
            before = _segments(vault)
            deployment.call("DeleteDiskSnapshot", diskSnapshotName="s1")
            until(lambda: _segments(vault) < before, "the vault to be collected")
        deployment.snapshot("s3")
        assert deployment.ended("s3") == ["completed"]
        with deployment.restored("s3") as (third,):
            assert content(third, 8 * MIB) == noise(2)
        deployment.close()


def test_a_full_run_directory_delays_what_needs_a_socket(deployment: Deployment) -> None:
    with file_system(deployment.folder / "run", "ext4", 64 * MIB) as run:
        settings = deployment.folder / "settings.toml"
        settings.write_text(f'[engine]\nrun = "{run}"\n')
        deployment.start(*OURS, "serve", "--port", "0", "--config", str(settings))
        uri = deployment.used_disk()
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        assert deployment.ended("s1") == ["completed"]
        deployment.disk("new")
        deployment.instance("another")
        attach = {"diskName": "new", "instanceName": "another", "diskPath": "/dev/xvdz"}
        export = ("mooring", "export", "--disk-snapshot-name", "s1", "--seconds", "60")
        with Ballast(run):
            with pytest.raises(DemoError, match="is full"):
                deployment.server.run(*export)
            deployment.call("AttachDisk", **attach)  # waits for room
            assert content(uri, 8 * MIB) == noise(1)
        deployment.until_disk("new", "attachmentState", "attached")
        assert deployment.server.run(*export).output
        deployment.close()
        processes.end_all(run)


def _segments(vault: Path) -> int:
    return sum(path.stat().st_blocks for path in (vault / "segments").rglob("*"))


def test_many_deletions_fit_into_no_room(deployment: Deployment) -> None:
    """Of snapshots, of a disk, and of its add-on."""
    names = [f"s{number}" for number in range(MANY)]
    add_on = {
        "addOnType": "AutoSnapshot",
        "autoSnapshotAddOnRequest": {"snapshotTimeOfDay": "03:00"},
    }
    with file_system(deployment.data, "ext4") as mount:
        deployment.start()
        uri = deployment.used_disk()
        deployment.disk("spare")
        deployment.call("EnableAddOn", resourceName="spare", addOnRequest=add_on)
        for begin in range(0, MANY, 5):  # as many as may be pending
            for name in names[begin : begin + 5]:
                write(uri, 0, os.urandom(4096))
                deployment.snapshot(name)
            assert set(deployment.ended(*names[begin : begin + 5])) == {"completed"}
        with Ballast(mount):
            refused(deployment, "CreateDiskSnapshot", diskName="data", diskSnapshotName="new")
            for name in names:
                deployment.call("DeleteDiskSnapshot", diskSnapshotName=name)
            deployment.call("DisableAddOn", resourceName="spare", addOnType="AutoSnapshot")
            deployment.call("DeleteDisk", diskName="spare")
            until(lambda: deployment.states() == {}, "all to be gone")
            until(lambda: set(deployment.statuses("spare")) == {"Succeeded"}, "spare to be gone")
        deployment.close()
