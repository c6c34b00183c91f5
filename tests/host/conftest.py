"""Devices under test, with servers of what they show."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.admin.demo.filesystem import run, why_not
from mooring.host.devices.fuse_devices import FuseDevices
from mooring.host.devices.interface import Devices
from mooring.host.devices.loop import DeviceLinks
from mooring.host.devices.memory_devices import MemoryDevices
from mooring.model.clock import SystemClock
from mooring.nbd.blocking import exports_at
from tests.engine.harness import MIB, QemuHarness, attached

PROGRAMS = ("qemu-storage-daemon", "losetup", "mount", "umount", "mkfs.ext4", "e2fsck")


@dataclass
class FuseSite:
    """Devices on the QEMU engine's disks."""

    harness: QemuHarness
    folder: Path
    mounts: Path

    def __post_init__(self) -> None:
        self.links = DeviceLinks(self.mounts / "links")
        self.devices = FuseDevices(self.folder, SystemClock(), exports_at, links=self.links)
        self.instances: dict[str, str] = {}

    def disk(self) -> tuple[str, str]:
        """A disk that is served; returns its id and the URI."""
        name = f"disk {len(self.instances)},é"
        instance_id, export = attached(self.harness, 64 * MIB, name)
        self.instances[export.disk_id] = instance_id
        return export.disk_id, self.harness.qemu.uri(instance_id, name)

    def mount(self, disk_id: str, make: str = "mkfs.ext4") -> Path:
        """Make a file system on the device, and mount it."""
        device = self.devices.device(disk_id)
        assert device is not None
        run(make, "-q", device)
        mount = self.mounts / disk_id
        mount.mkdir(parents=True)
        run("mount", device, str(mount))
        return mount

    def unmount(self, mount: Path) -> None:
        run("umount", str(mount))

    def restart(self) -> None:
        self.devices = FuseDevices(self.folder, SystemClock(), exports_at, links=self.links)

    def kill(self, disk_id: str) -> None:
        """Kill what is behind the device, and wait until it is gone."""
        pidfd = os.pidfd_open(int((self.folder / disk_id / "pid").read_text()))
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            assert poll.poll(30_000)
        finally:
            os.close(pidfd)

    def close(self) -> None:
        for mount in self.mounts.glob("*"):
            subprocess.run(["umount", mount], capture_output=True, check=False)
        for disk_id in self.devices.known():
            self.devices.detach(disk_id)


@dataclass(frozen=True, slots=True)
class Site:
    """What the common suite needs of a site."""

    devices: Callable[[], Devices]
    disk: Callable[[], tuple[str, str]]
    mount: Callable[[str], Path]
    unmount: Callable[[Path], None]
    spoil: Callable[[str], None]
    """Make a device that does not work any more."""
    restart: Callable[[], None]


@pytest.fixture
def fuse(run_dir: Path, tmp_path: Path) -> Iterator[FuseSite]:
    if reason := why_not():
        pytest.skip(reason)
    harness = QemuHarness(tmp_path / "data", run_dir / "run")
    site = FuseSite(harness, run_dir / "run" / ".devices", tmp_path / "mounts")
    try:
        yield site
    finally:
        site.close()
        harness.close()


@pytest.fixture(params=["memory", pytest.param("fuse", marks=pytest.mark.full)])
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "fuse":
        fuse: FuseSite = request.getfixturevalue("fuse")
        return Site(
            lambda: fuse.devices, fuse.disk, fuse.mount, fuse.unmount, fuse.kill, fuse.restart
        )
    memory = MemoryDevices()
    count = iter(range(100))

    def mount(disk_id: str) -> Path:
        memory.mounts[disk_id] = f"/mnt/{disk_id}"
        return Path(memory.mounts[disk_id])

    return Site(
        lambda: memory,
        lambda: (f"d-{next(count)}", "nbd+unix:///d?socket=/run/s"),
        mount,
        lambda path: memory.mounts.__delitem__(path.name),
        memory.broken.add,
        lambda: None,
    )
