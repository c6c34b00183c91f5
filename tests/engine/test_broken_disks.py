"""Full, broken and occupied disks: errors say what is wrong, nothing is lost."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.layers.layer import Layer
from mooring.model.errors import DiskFullError, EngineError, LayerDamagedError, MooringError
from mooring.model.extents import Extent
from tests.engine.harness import MIB, QemuHarness, attached, eventually, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

SIZE = 16 * MIB


@pytest.mark.requires("qemu-io")
def test_disk_in_use_by_a_foreign_process_is_left_alone(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    qemu.engine.detach(instance, export.disk_id)
    top = qemu.folder(export.disk_id) / qemu.layer_names(export.disk_id)[0]
    foreign = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(top)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        eventually(lambda: any(str(top) in link for link in open_files(foreign.pid)))
        eventually(lambda: f":{top.stat().st_ino} " in Path("/proc/locks").read_text())
        for action in (
            lambda: qemu.engine.attach(instance, export),
            lambda: qemu.engine.freeze({export.disk_id: new_id()}),
            lambda: qemu.engine.delete(export.disk_id),
        ):
            with pytest.raises(EngineError, match="in use by a QEMU process"):
                action()
    finally:
        foreign.communicate(b"quit\n")
    qemu.engine.attach(instance, export)


@pytest.mark.parametrize("served", [True, False])
def test_a_lock_that_outlives_its_process_is_waited_for(qemu: QemuHarness, served: bool) -> None:
    """What a killed daemon has under way in the kernel ends later than the daemon."""
    instance, export = attached(qemu, SIZE)
    qemu.engine.detach(instance, export.disk_id)
    top = qemu.folder(export.disk_id) / qemu.layer_names(export.disk_id)[0]
    with top.open("rb+") as file:
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 100, 104, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        released = threading.Timer(0.3, file.close)
        released.start()
        if served:
            qemu.engine.attach(instance, export)
        else:
            qemu.engine.freeze({export.disk_id: new_id()})
        released.join()


def open_files(pid: int) -> list[str]:
    folder = Path(f"/proc/{pid}/fd")
    links = []
    for entry in folder.iterdir():
        try:
            links.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    return links


@pytest.mark.parametrize("layer", ["missing", "unreadable"])
def test_a_disk_that_could_not_be_opened_is_served_when_it_can(
    qemu: QemuHarness, layer: str
) -> None:
    instance, good = attached(qemu, SIZE, "good")
    other, _ = attached(qemu, SIZE, "other")
    bad = Export(new_id(), "bad")
    qemu.engine.create(bad.disk_id, SIZE)
    qemu.engine.attach(instance, bad)
    client = qemu.client(instance, bad)
    for number in range(2):
        client.write(number * MIB, noise(number, MIB))
        client.flush()
        qemu.engine.freeze({bad.disk_id: new_id()})
    client.close()
    doomed = qemu.folder(bad.disk_id) / qemu.layer_names(bad.disk_id)[1]
    hidden = doomed.with_name("hidden")

    doomed.rename(hidden)
    if layer == "unreadable":
        # A link to itself stands for any error but that there is none: EIO, EACCES, EMFILE.
        doomed.symlink_to(doomed)
    qemu.kill_daemon(instance)
    eventually(lambda: qemu.engine.health(good.disk_id).ok)
    assert doomed.name in qemu.engine.health(bad.disk_id).problem
    qemu.kill_daemon(other)
    eventually(lambda: qemu.has_daemon(other))
    hidden.rename(doomed)

    eventually(lambda: qemu.engine.health(bad.disk_id).ok)
    assert qemu.client(instance, bad).read(0, 2 * MIB) == noise(0, MIB) + noise(1, MIB)


def test_layers_that_a_merge_removes_while_they_are_opened(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that died is started again in the same moment."""
    instance, export = attached(qemu, SIZE)
    client = qemu.client(instance, export)
    for number in range(4):
        client.write(number * MIB, noise(number, MIB))
        client.flush()
        point = new_id()
        qemu.engine.freeze({export.disk_id: point})
        if number == 1:
            old = DiskLayers(qemu.folder(export.disk_id).parent, export.disk_id)
            before, overlays = old.check(), old.overlays()
        qemu.engine.release(export.disk_id, point, stored=True)
    client.close()
    assert qemu.engine.settle()
    assert not all(layer.path.exists() for layer in before)
    seen = []

    def overlays_then(layers: DiskLayers) -> list[Layer]:
        seen.append(layers)
        return overlays if len(seen) == 1 else now_overlays(layers)

    def check_then(layers: DiskLayers) -> list[Layer]:
        return before if len(seen) == 1 else now_check(layers)

    now_overlays, now_check = DiskLayers.overlays, DiskLayers.check
    with monkeypatch.context() as patched:
        patched.setattr(DiskLayers, "overlays", overlays_then)
        patched.setattr(DiskLayers, "check", check_then)
        qemu.kill_daemon(instance)
        eventually(lambda: len(seen) > 1)
    eventually(lambda: qemu.engine.health(export.disk_id).ok, 1.0)
    whole = b"".join(noise(number, MIB) for number in range(4))
    assert qemu.client(instance, export).read(0, 4 * MIB) == whole


def test_broken_disk_does_not_hurt_its_neighbours(qemu: QemuHarness) -> None:
    instance, good = attached(qemu, SIZE, "good")
    bad = Export(new_id(), "bad")
    qemu.engine.create(bad.disk_id, SIZE)
    qemu.engine.attach(instance, bad)
    for _ in range(2):
        qemu.engine.freeze({bad.disk_id: new_id()})
    qemu.client(instance, good).write(0, noise(1, MIB))
    qemu.engine.stop(instance)
    doomed = qemu.folder(bad.disk_id) / qemu.layer_names(bad.disk_id)[1]
    kept = doomed.read_bytes()
    doomed.unlink()

    with pytest.raises(LayerDamagedError, match=doomed.name):
        qemu.engine.attach(instance, bad)
    qemu.restart()
    qemu.engine.adopt({instance: [bad, good]})

    assert qemu.client(instance, good).read(0, MIB) == noise(1, MIB)
    assert doomed.name in qemu.engine.health(bad.disk_id).problem
    with pytest.raises(EngineError, match="not served"):
        qemu.engine.freeze({bad.disk_id: new_id()})

    doomed.write_bytes(kept)
    qemu.engine.attach(instance, bad)
    assert qemu.engine.health(bad.disk_id).ok
    assert qemu.client(instance, bad).read(0, MIB) == bytes(MIB)


def test_layer_truncated_under_a_reader_is_noticed(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    qemu.client(instance, export).write(0, noise(1, 4 * MIB))
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    frozen = qemu.folder(export.disk_id) / qemu.layer_names(export.disk_id)[0]
    image = qemu.engine.open_point(export.disk_id, point)
    assert list(image.extents()) == [Extent(0, 4 * MIB)]
    os.truncate(frozen, frozen.stat().st_size - 2 * MIB)

    with pytest.raises(LayerDamagedError, match="truncated"):
        image.read(0, 4 * MIB)
    image.close()
    again = qemu.engine.open_point(export.disk_id, point)
    with pytest.raises(LayerDamagedError, match="truncated"):
        list(again.extents())
    again.close()


def test_layer_that_cannot_be_read_is_named(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, export = attached(qemu, SIZE)
    qemu.client(instance, export).write(0, noise(1, MIB))
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    name = qemu.layer_names(export.disk_id)[0]
    image = qemu.engine.open_point(export.disk_id, point)

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", fail)
        with pytest.raises(EngineError, match=f"{name} cannot be read at .*Input/output error"):
            image.read(0, MIB)
    assert image.read(0, MIB) == noise(1, MIB)
    image.close()


@pytest.fixture
def small(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """An engine on a file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(mount)], check=True)
    try:
        harness = QemuHarness(mount / "data", run_dir / "run")
        try:
            yield harness
        finally:
            harness.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_full_disk_is_told_of_and_can_be_mended(small: QemuHarness) -> None:
    instance, export = attached(small, 64 * MIB)
    disk = export.disk_id
    client = small.client(instance, export)
    client.write(0, noise(1, 4 * MIB))
    ballast = small.root / "ballast"
    free = os.statvfs(small.root)
    ballast.write_bytes(bytes((free.f_bavail - 1) * free.f_bsize))

    with pytest.raises(DiskFullError, match="no space"):
        small.engine.freeze({disk: new_id()})
    with pytest.raises(MooringError):
        client.write(8 * MIB, noise(2, 4 * MIB))
    with pytest.raises(DiskFullError, match="no space"):
        small.engine.create(new_id(), MIB)
    assert small.engine.health(disk).ok

    ballast.unlink()
    client.write(8 * MIB, noise(2, 4 * MIB))
    point = new_id()
    small.engine.freeze({disk: point})
    image = small.engine.open_point(disk, point)
    assert image.read(0, 4 * MIB) == noise(1, 4 * MIB)
    assert image.read(8 * MIB, 4 * MIB) == noise(2, 4 * MIB)
    image.close()


def test_merge_that_finds_no_room_is_done_later(small: QemuHarness) -> None:
    instance, export = attached(small, 64 * MIB)
    disk = export.disk_id
    client = small.client(instance, export)
    client.write(0, noise(1, 8 * MIB))
    ballast = small.root / "ballast"
    free = os.statvfs(small.root)
    ballast.write_bytes(bytes(free.f_bavail * free.f_bsize - 3 * MIB))
    point = new_id()
    small.engine.freeze({disk: point})

    small.engine.release(disk, point, stored=True)
    eventually(lambda: "merging" in small.engine.health(disk).problem)
    assert client.read(0, 8 * MIB) == noise(1, 8 * MIB)

    ballast.unlink()
    assert small.engine.settle(30)
    assert small.engine.health(disk).ok
    assert small.engine.health(disk).layers == 2
    assert client.read(0, 8 * MIB) == noise(1, 8 * MIB)
