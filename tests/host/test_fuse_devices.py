"""Block devices on the QEMU engine: what is written, killed, and left behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from mooring.admin.demo.filesystem import run
from mooring.engine.interface import Export
from mooring.host.devices import loop
from mooring.host.devices.fuse_devices import FuseDevices
from mooring.host.mounts import family, mounts_of, users_of
from mooring.model.clock import SystemClock
from mooring.model.errors import DiskAwayError, DiskBusyError, HostError
from mooring.nbd.blocking import BlockingNbdClient, exports_at
from tests.e2e.processes import until
from tests.engine.harness import MIB, new_id, noise
from tests.host.conftest import PROGRAMS, FuseSite

pytestmark = [pytest.mark.full, pytest.mark.requires(*PROGRAMS)]


def test_the_device_is_the_disk(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = Path(fuse.devices.attach(disk_id, uri))

    with device.open("r+b", buffering=0) as file:
        assert file.seek(0, os.SEEK_END) == 64 * MIB
        file.seek(MIB)
        file.write(noise(1, MIB))
    fuse.devices.detach(disk_id)

    client = BlockingNbdClient(uri)
    assert client.read(MIB, MIB) == noise(1, MIB)
    client.close()


def test_its_name_leads_to_it_as_long_as_it_is_there(fuse: FuseSite) -> None:
    fuse.mounts.mkdir(exist_ok=True)
    links = fuse.mounts / "links"
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)

    (link,) = links.iterdir()
    assert (link.name, str(link.readlink())) == ("disk 0,é", device)
    assert (fuse.folder / disk_id / "disk.name").read_text() == "disk 0,é\n"
    link.unlink()
    fuse.restart()
    fuse.devices.adopt({disk_id: uri})
    assert str(link.readlink()) == device
    fuse.devices.detach(disk_id)
    assert not links.exists()


def test_trims_reach_the_disk(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    Path(device).write_bytes(noise(1, 4 * MIB))
    run("blkdiscard", "--offset", str(MIB), "--length", str(MIB), device)
    fuse.devices.detach(disk_id)

    client = BlockingNbdClient(uri)
    assert (
        client.read(0, 4 * MIB)
        in (
            noise(1, 4 * MIB),  # where QEMU must not trim
            noise(1, 4 * MIB)[:MIB] + bytes(MIB) + noise(1, 4 * MIB)[2 * MIB :],
        )
    )
    client.close()


def test_a_file_system_outlives_the_death_of_the_storage_daemon(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    mount = fuse.mount(disk_id)

    for number in range(3):
        fuse.harness.kill_daemon(fuse.instances[disk_id])
        with (mount / f"file-{number}").open("wb") as file:
            file.write(noise(number, MIB))
            file.flush()
            os.fsync(file.fileno())

    assert [(mount / f"file-{n}").read_bytes() == noise(n, MIB) for n in range(3)] == [True] * 3
    fuse.unmount(mount)
    run("e2fsck", "-fn", device)


def test_one_that_is_only_open_is_in_use_too(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)

    with Path(device).open("rb"):
        with pytest.raises(DiskBusyError, match=f"open in process {os.getpid()}"):
            fuse.devices.detach(disk_id)
        assert fuse.devices.device(disk_id) == device
    # Closing it did not take it away behind our back.
    assert fuse.devices.device(disk_id) == device
    fuse.devices.detach(disk_id)
    assert fuse.devices.device(disk_id) is None


def test_one_mounted_in_a_container_is_in_use_too(fuse: FuseSite, tmp_path: Path) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    run("mkfs.ext4", "-q", device)
    script = f"mount {device} {tmp_path} && echo ready && exec sleep 600"
    container = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    try:
        assert container.stdout is not None
        assert container.stdout.readline() == b"ready\n"
        assert mounts_of(device)[0].reached == f"/proc/{container.pid}/root{tmp_path}"
        with pytest.raises(DiskBusyError, match=f"mounted at {tmp_path}"):
            fuse.devices.detach(disk_id)
    finally:
        container.kill()
        container.communicate()


def test_swap_is_a_use_without_a_mount(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)  # as the kernel holds swap
    try:
        assert "claimed by" in users_of(device)
        with pytest.raises(DiskBusyError, match="claimed by"):
            fuse.devices.detach(disk_id)
    finally:
        os.close(descriptor)


def test_nothing_is_left_when_the_disk_is_not_served(fuse: FuseSite, tmp_path: Path) -> None:
    devices = FuseDevices(fuse.folder, SystemClock(), exports_at, open_seconds=1)
    with pytest.raises(HostError, match="cannot be presented as a file: "):
        devices.attach("d-1", f"nbd+unix:///x?socket={tmp_path}/nobody")

    assert list(devices.known()) == []
    assert devices.device("d-1") is None


def test_all_is_taken_away_after_what_is_behind_was_killed(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    fuse.kill(disk_id)
    # The kernel knows the file's attributes for a second more.
    until(lambda: not stat_works(fuse.folder / disk_id / "disk"), "the file to be gone")
    assert fuse.devices.device(disk_id) == device

    fuse.devices.detach(disk_id)

    assert loop.find(f"mooring:{disk_id}", fuse.folder / disk_id / "disk") is None
    assert not (fuse.folder / disk_id).exists()
    assert str(fuse.folder) not in Path("/proc/self/mountinfo").read_text()
    assert family(device) == [Path(device).name]


def test_a_start_does_not_wait_for_a_server_that_has_ended(fuse: FuseSite) -> None:
    """Reads and writes wait ten minutes for it, and so would whoever writes something through."""
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    other, other_uri = fuse.disk()
    fuse.devices.attach(other, other_uri)
    for path in (device, str(fuse.devices.device(other))):
        with Path(path).open("r+b", buffering=0) as file:
            file.write(noise(1, MIB))
    fuse.harness.engine.stop(fuse.instances[disk_id])

    fuse.restart()
    assert fuse.devices.leave(fuse.devices.known()) == {}

    assert list(fuse.devices.known()) == []
    assert loop.find(f"mooring:{disk_id}", fuse.folder / disk_id / "disk") is None
    # What can be written is.
    client = BlockingNbdClient(other_uri)
    assert client.read(0, MIB) == noise(1, MIB)
    client.close()


def test_who_takes_it_away_does_not_wait_for_a_server_that_is_away(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    instance_id = fuse.instances[disk_id]
    device = fuse.devices.attach(disk_id, uri)
    with Path(device).open("r+b", buffering=0) as file:
        file.write(noise(1, MIB))
    fuse.harness.engine.stop(instance_id)

    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(DiskAwayError, match="because its disk is not served right now"):
            fuse.devices.detach(disk_id)
    with Path(device).open("rb"):
        with pytest.raises(DiskBusyError):
            fuse.devices.detach(disk_id)
        assert list(fuse.devices.leave([disk_id])) == [disk_id]
    assert time.monotonic() - begun < 20
    assert fuse.devices.device(disk_id) == device

    fuse.harness.engine.attach(instance_id, Export(disk_id, "disk 0,é"))
    fuse.devices.detach(disk_id)
    client = BlockingNbdClient(uri)
    assert client.read(0, MIB) == noise(1, MIB)
    client.close()
    assert fuse.devices.device(disk_id) is None


def test_a_server_that_lacks_the_disk_is_away_too_and_given_up_in_the_end(fuse: FuseSite) -> None:
    first, _ = fuse.disk()
    instance_id, engine = fuse.instances[first], fuse.harness.qemu
    other = new_id()
    engine.create(other, 64 * MIB)
    engine.attach(instance_id, Export(other, "other"))
    device = fuse.devices.attach(other, engine.uri(instance_id, "other"))
    with Path(device).open("r+b", buffering=0) as file:
        file.write(noise(1, MIB))
    engine.detach(instance_id, other, force=True)

    with pytest.raises(DiskAwayError, match="given up in 600 seconds"):
        fuse.devices.detach(other)
    # Also by a server that was started again meanwhile.
    fuse.restart()
    noted = fuse.folder / other / "away"
    noted.write_text(str(int(noted.read_text()) - 540_000))
    with pytest.raises(DiskAwayError, match=r"given up in (60|[1-5]?\d) seconds"):
        fuse.devices.detach(other)
    noted.write_text(str(int(noted.read_text()) - 60_000))
    fuse.devices.detach(other)

    assert fuse.devices.device(other) is None
    assert not (fuse.folder / other).exists()


def stat_works(file: Path) -> bool:
    try:
        file.stat()
    except OSError:
        return False
    return True


def test_a_device_that_is_none() -> None:
    with pytest.raises(HostError, match="no block device"):
        mounts_of("/dev/nothing-of-that-name")


def _reached(written: list[int], count: int) -> bool:
    return len(written) >= count


def test_a_mounted_device_grows_under_a_writer(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    device = fuse.devices.attach(disk_id, uri)
    mount = fuse.mount(disk_id)
    before = os.statvfs(mount)
    (mount / "kept").write_bytes(noise(1, MIB))
    written: list[int] = []
    go_on = threading.Event()
    go_on.set()

    def write() -> None:
        with (mount / "growing").open("wb") as file:
            while go_on.is_set() and len(written) < 20000:
                os.pwrite(file.fileno(), noise(len(written), 4096), (len(written) % 1024) * 4096)
                os.fsync(file.fileno())
                written.append(1)

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            until(partial(_reached, written, 10), "writes")
            for size in (128 * MIB, 256 * MIB):
                fuse.harness.engine.grow(disk_id, size)
                fuse.devices.grow(disk_id, size)
                fuse.devices.grow(disk_id, size)
                more = len(written) + 5
                until(partial(_reached, written, more), "writes after a growth")
        finally:
            go_on.clear()
        writer.result()
    with Path(device).open("rb", buffering=0) as file:
        assert file.seek(0, os.SEEK_END) == 256 * MIB
    # Growing a mounted file system needs CAP_SYS_RESOURCE, which root in a container may lack.
    fuse.unmount(mount)
    run("e2fsck", "-fp", device)
    run("resize2fs", device)
    run("mount", device, str(mount))

    after = os.statvfs(mount)
    assert after.f_blocks * after.f_frsize > 3 * before.f_blocks * before.f_frsize
    assert (mount / "kept").read_bytes() == noise(1, MIB)
    (mount / "more").write_bytes(noise(2, 100 * MIB))
    os.sync()
    fuse.unmount(mount)
    run("e2fsck", "-fn", device)
    fuse.devices.detach(disk_id)
    fuse.devices.grow(disk_id, 256 * MIB)
    client = BlockingNbdClient(uri)
    assert client.info.size == 256 * MIB
    client.close()


@pytest.mark.requires("mkfs.xfs", "xfs_growfs")
def test_a_mounted_xfs_grows_with_its_device(fuse: FuseSite) -> None:
    disk_id, uri = fuse.disk()
    fuse.harness.engine.grow(disk_id, 512 * MIB)
    device = fuse.devices.attach(disk_id, uri)
    mount = fuse.mount(disk_id, "mkfs.xfs")
    (mount / "kept").write_bytes(noise(1, MIB))

    for size in (1024 * MIB, 2048 * MIB):
        fuse.harness.engine.grow(disk_id, size)
        fuse.devices.grow(disk_id, size)
        run("xfs_growfs", str(mount))
        now = os.statvfs(mount)
        assert now.f_blocks * now.f_frsize > 0.8 * size

    (mount / "more").write_bytes(noise(2, 20 * MIB))
    assert (mount / "kept").read_bytes() == noise(1, MIB)
    fuse.unmount(mount)
    run("xfs_repair", "-n", device)
