"""File systems without inodes, or beyond a quota."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.test_full_file_systems import content, mooringd, noise, temporary, write
from tests.mounts import MIB

pytestmark = pytest.mark.full


@contextlib.contextmanager
def on_loop(folder: Path, size: int, make: list[str], options: str = "loop") -> Iterator[Path]:
    """A real file system on a loop device."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*make, image], check=True)
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-o", options, image, folder], check=True)
    try:
        yield folder
    finally:
        if subprocess.run(["umount", folder], check=False).returncode:
            subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


class Inodes:
    """Takes all inodes there are, whenever it is told to, until it is let go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "ballast"
        self._made = 0

    def __enter__(self) -> Inodes:
        self._folder.mkdir()
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        for path in self._folder.iterdir():
            path.unlink()

    def take(self) -> None:
        """Take what has become free meanwhile."""
        with contextlib.suppress(OSError):
            while True:
                (self._folder / str(self._made)).touch()
                self._made += 1


class Quota:
    """Takes all that a quota allows, whenever it is told to, until it is let go."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ballast"

    def __enter__(self) -> Quota:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink()

    def take(self) -> None:
        """Take what has become free meanwhile."""
        with self._file.open("ab", buffering=0) as file:
            for size in (MIB, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(os.urandom(size))
                        os.fsync(file.fileno())


Shortage = Inodes | Quota


@contextlib.contextmanager
def short_of_inodes(deployment: Deployment) -> Iterator[Shortage]:
    make = ["mkfs.ext4", "-q", "-F", "-N", "1000"]
    with on_loop(deployment.data, 320 * MIB, make) as mount:
        yield Inodes(mount)


@contextlib.contextmanager
def short_of_quota(deployment: Deployment) -> Iterator[Shortage]:
    with on_loop(deployment.data, 600 * MIB, ["mkfs.btrfs", "-q", "-f"]) as mount:
        for words in (["quota", "enable"], ["qgroup", "limit", "200M"]):
            subprocess.run(["btrfs", *words, str(mount)], check=True)
        yield Quota(mount)


def refused(deployment: Deployment, operation: str, **members: object) -> str:
    with pytest.raises(RefusedError) as caught:
        deployment.call(operation, **members)
    assert caught.value.type == "OperationFailureException"
    return str(caught.value)


def at_the_second_try(deployment: Deployment, operation: str, **members: object) -> None:
    """A quota is seen only when it is met; then room is given up, and the answer says so."""
    try:
        deployment.call(operation, **members)
    except RefusedError as error:
        assert "try again" in str(error)  # noqa: PT017 - it is not always refused
        deployment.call(operation, **members)


@pytest.mark.parametrize("shortage", [short_of_inodes, short_of_quota])
@pytest.mark.requires("mkfs.btrfs")
def test_deleting_leads_out(
    deployment: Deployment, shortage: Callable[[Deployment], AbstractContextManager[Shortage]]
) -> None:
    with shortage(deployment) as short:
        deployment.start()
        uri = deployment.used_disk()
        deployment.used_disk("other", "another")
        deployment.disk("spare")
        write(uri, 0, noise(1))
        deployment.snapshot("s1")
        write(uri, 0, noise(2))
        deployment.snapshot("s2")
        assert deployment.ended("s1", "s2") == ["completed", "completed"]
        with short:
            made = {"availabilityZone": ZONE, "sizeInGb": 8}
            refused(deployment, "CreateDiskSnapshot", diskName="data", diskSnapshotName="s3")
            refused(deployment, "CreateDisk", diskName="new", **made)
            of = {"diskName": "new", "diskSnapshotName": "s1"}
            refused(deployment, "CreateDiskFromSnapshot", **of, **made)
            at_the_second_try(deployment, "DeleteDiskSnapshot", diskSnapshotName="s1")
            at_the_second_try(deployment, "DeleteDisk", diskName="spare")
            deployment.detach("other")
            at_the_second_try(deployment, "DeleteInstance", instanceName="another")
            until(lambda: set(deployment.statuses("s1")) == {"Succeeded"}, "s1 to be gone")
            until(lambda: set(deployment.statuses("spare")) == {"Succeeded"}, "spare to be gone")
            until(lambda: deployment.statuses("another")[0] == "Succeeded", "another to be gone")
            short.take()
            assert mooringd(deployment, "doctor").returncode == 1
            deployment.server.stop()
            short.take()
            deployment.start()
            short.take()
            deployment.server.kill()
            short.take()
            deployment.start()
            assert deployment.states() == {"s2": "completed"}
            assert temporary(deployment.data) == []
            assert mooringd(deployment, "collect").returncode == 0
            deployment.call("DeleteDisk", diskName="other")
            assert content(uri, 8 * MIB) == noise(2)

        write(uri, 8 * MIB, noise(3))
        deployment.snapshot("s3")
        assert deployment.ended("s3") == ["completed"]
        with deployment.restored("s2", "s3") as (second, third):
            assert content(second, 16 * MIB) == noise(2) + bytes(8 * MIB)
            assert content(third, 16 * MIB) == noise(2) + noise(3)
        deployment.close()
