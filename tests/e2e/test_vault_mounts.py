"""Vaults on file systems of their own: not mounted, unmounted, read-only, without hard links."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import OWN_PROGRAMS
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

MIB = 1024 * 1024
SIZE = 300 * MIB
WELL = "opens, and can be written to"
"""What doctor says of such a vault, which it also finds short of room."""


class Medium:
    """A file system in a file, on a loop device; `mount` and `unmount` it at `at`."""

    def __init__(self, folder: Path, name: str, *make: str) -> None:
        image = folder / f"{name}.img"
        with image.open("wb") as file:
            file.truncate(SIZE)
        subprocess.run([*make, image], check=True, stdout=subprocess.DEVNULL)
        self.at = folder / name
        self.at.mkdir()
        self._exfat = make[0] == "mkfs.exfat"
        attach = ["losetup", "--find", "--show", str(image)]
        done = subprocess.run(attach, check=True, capture_output=True, text=True)
        self._device = done.stdout.strip()

    def mount(self, *options: str) -> None:
        program = ["mount.exfat-fuse"] if self._exfat else ["mount"]
        command = [*program, *options, self._device, str(self.at)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.at], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.at], check=True)

    def close(self) -> None:
        if os.path.ismount(self.at):
            self.unmount()
        subprocess.run(["losetup", "--detach", self._device], check=True)


@contextlib.contextmanager
def medium(folder: Path, *make: str, name: str = "medium") -> Iterator[Medium]:
    made = Medium(folder, name, *make)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Medium]:
    with medium(tmp_path, "mkfs.ext4", "-q", "-F") as made:
        made.mount()
        (made.at / "lost+found").rmdir()
        yield made


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Medium]:
    with medium(tmp_path, "mkfs.exfat") as made:
        made.mount()
        yield made


def start(deployment: Deployment, vault: Path, **more: str) -> None:
    lines = ["[regions.us-east-2]", 'zones = ["us-east-2a"]', f'vault = "{vault}"']
    lines += [f'{name} = "{value}"' for name, value in more.items()]
    config = deployment.folder / "mooring.toml"
    config.write_text("\n".join(lines) + "\n")
    serve = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    deployment.start(*serve, "--config", str(config))


def stop(deployment: Deployment) -> None:
    deployment.server.kill()


def mooringd(deployment: Deployment, command: str, *more: str) -> tuple[int, str]:
    config = deployment.folder / "mooring.toml"
    program: list[str | Path] = [OWN_PROGRAMS / "mooringd", command]
    program += ["--config", config, "--data", deployment.data]
    done = subprocess.run(
        [*program, *more], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


class Written:
    """A disk, and what each snapshot of it must hold."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._uri = deployment.used_disk()
        self._content = bytearray(4 * MIB)
        self._random = random.Random(1)
        self._kept: dict[str, bytes] = {}

    def snapshot(self, name: str) -> None:
        """Write something and take a snapshot. Raises RefusedError."""
        place = self._random.randrange(0, 3 * MIB, 4096)
        data = self._random.randbytes(MIB)
        with BlockingNbdClient(self._uri) as client:
            client.write(place, data)
            client.flush()
        self._content[place : place + MIB] = data
        self._deployment.snapshot(name)
        self._kept[name] = bytes(self._content)

    def check(self, *names: str) -> None:
        """Each is completed, and a disk made from it holds what it must."""
        assert self._deployment.ended(*names) == ["completed"] * len(names)
        for name in names:
            with (
                self._deployment.restored(name) as (uri,),
                BlockingNbdClient(uri) as client,
            ):
                assert client.read(0, 4 * MIB) == self._kept[name], name
            self._deployment.call("DeleteInstance", instanceName="reader")


@pytest.mark.parametrize("place", ["vault", "."])
def test_nothing_comes_into_an_empty_mount_point(
    deployment: Deployment, ext4: Medium, place: str
) -> None:
    vault = ext4.at / place if place != "." else ext4.at
    start(deployment, vault)
    disk = Written(deployment)
    disk.snapshot("one")
    deployment.ended("one")

    ext4.unmount()
    with pytest.raises(RefusedError, match="has no vault right now"):
        disk.snapshot("two")
    assert not list(ext4.at.iterdir())
    status, told = mooringd(deployment, "doctor")
    assert status == 1
    assert "is away, with 1 snapshot in it" in told
    ext4.mount()
    disk.snapshot("three")
    deployment.ended("three")

    stop(deployment)
    ext4.unmount()
    start(deployment, vault)
    with pytest.raises(RefusedError, match="Mount it, or put it back"):
        disk.snapshot("four")
    # The disk goes on, and what needs no vault.
    deployment.disk("another")
    assert not list(ext4.at.iterdir())
    ext4.mount()
    disk.snapshot("five")
    disk.check("one", "three", "five")
    assert mooringd(deployment, "verify")[0] == 0
    assert WELL in mooringd(deployment, "doctor")[1]


def test_an_upload_waits_for_a_mount_that_goes_away(deployment: Deployment, ext4: Medium) -> None:
    start(deployment, ext4.at / "vault")
    disk = Written(deployment)
    disk.snapshot("one")
    deployment.ended("one")
    disk.snapshot("two")
    ext4.unmount()
    with pytest.raises(RefusedError, match="has no vault right now"):
        disk.snapshot("three")
    assert not list(ext4.at.iterdir())
    ext4.mount()
    disk.check("one", "two")


def test_a_vault_that_can_only_be_read(
    deployment: Deployment, ext4: Medium, tmp_path: Path
) -> None:
    start(deployment, ext4.at / "vault")
    disk = Written(deployment)
    disk.snapshot("one")
    deployment.ended("one")
    ext4.remount("ro")
    with pytest.raises(RefusedError, match="can only be read"):
        disk.snapshot("two")
    disk.check("one")
    status, told = mooringd(
        deployment, "export", "--snapshot", "one", "--output", str(tmp_path / "image")
    )
    assert status == 0, told
    assert mooringd(deployment, "verify")[0] == 0
    assert mooringd(deployment, "diff", "--snapshot", "one")[0] == 0
    status, told = mooringd(deployment, "collect")
    assert status == 2
    assert "can only be read" in told
    stop(deployment)
    start(deployment, ext4.at / "vault")
    disk.check("one")
    environment = deployment.server.environment()
    served = subprocess.run(
        [OWN_PROGRAMS / "mooring", "export", "--disk-snapshot-name", "one"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with BlockingNbdClient(served.stdout.strip()) as client:
        assert client.read(0, 4 * MIB) == (tmp_path / "image").read_bytes()[: 4 * MIB]
    ext4.remount("rw")
    disk.snapshot("three")
    disk.check("one", "three")


@pytest.mark.requires("mount.exfat-fuse")
def test_a_file_system_without_hard_links(deployment: Deployment, exfat: Medium) -> None:
    probe = exfat.at / "probe"
    probe.touch()
    with pytest.raises(OSError, match="not permitted"):
        os.link(probe, exfat.at / "another")
    start(deployment, exfat.at / "vault")
    disk = Written(deployment)
    for name in ("one", "two"):
        disk.snapshot(name)
    disk.check("one", "two")
    assert WELL in mooringd(deployment, "doctor")[1]
    deployment.call("DeleteDiskSnapshot", diskSnapshotName="one")
    assert mooringd(deployment, "collect")[0] == 0
    disk.check("two")
    assert mooringd(deployment, "verify")[0] == 0
    copy = exfat.at / "copy"
    assert mooringd(deployment, "replicate", "--to", str(copy))[0] == 0
    assert mooringd(deployment, "replicate", "--to", str(copy))[0] == 0


def test_the_copys_disk_is_not_mounted(deployment: Deployment, ext4: Medium) -> None:
    start(deployment, deployment.folder / "vault", replica=str(ext4.at / "copy"))
    disk = Written(deployment)
    disk.snapshot("one")
    deployment.ended("one")
    assert mooringd(deployment, "replicate")[0] == 0
    ext4.unmount()
    status, told = mooringd(deployment, "replicate")
    assert status == 2
    assert "is away: mount it" in told
    assert not list(ext4.at.iterdir())
    assert "copy is away: mount it" in mooringd(deployment, "doctor")[1]
    ext4.mount()
    assert mooringd(deployment, "replicate")[0] == 0


def test_a_vault_that_was_moved_is_served_from_where_it_is(
    deployment: Deployment, tmp_path: Path
) -> None:
    start(deployment, tmp_path / "vault")
    disk = Written(deployment)
    disk.snapshot("one")
    disk.check("one")
    lock = deployment.data / "run" / "snapshots-us-east-2" / "lock"
    before = lock.read_text()
    stop(deployment)
    (tmp_path / "vault").rename(tmp_path / "moved")
    start(deployment, tmp_path / "moved")
    disk.check("one")
    until(lambda: lock.read_text() not in ("", before), "another process to serve snapshots")
