"""Reverts on QEMU: killed at every step, and beside everything else that goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.engine.interface import Export, Filling
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.model.errors import DiskFullError, EngineError, LayerDamagedError
from mooring.model.extents import BLOCK_SIZE
from tests.engine.harness import (
    MIB,
    BytesImage,
    QemuHarness,
    attached,
    content,
    eventually,
    new_id,
    noise,
)
from tests.engine.reverting_victim import AFTER, BEFORE

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

CHECKOUT = Path(__file__).parents[2]
SIZE = 8 * MIB
THEN, NOW = noise(1, SIZE), noise(2, SIZE)


def in_use(qemu: QemuHarness, name: str = "disk-1") -> tuple[str, Export]:
    instance, export = attached(qemu, SIZE, name)
    write(qemu, instance, export, NOW)
    return instance, export


def write(qemu: QemuHarness, instance: str, export: Export, data: bytes, offset: int = 0) -> None:
    client = qemu.client(instance, export)
    client.write(offset, data)
    client.flush()
    client.close()


def read(qemu: QemuHarness, instance: str, export: Export, size: int = SIZE) -> bytes:
    client = qemu.client(instance, export)
    found = client.read(0, size)
    client.close()
    return found


def at(qemu: QemuHarness, disk_id: str, point: str) -> bytes:
    image = qemu.engine.open_point(disk_id, point)
    found = content(image)
    image.close()
    return found


@pytest.mark.parametrize("step", BEFORE + AFTER)
def test_server_killed_in_a_revert(qemu: QemuHarness, step: str) -> None:
    instance, export = in_use(qemu)
    pending, kept = new_id(), new_id()
    qemu.engine.freeze({export.disk_id: pending})
    write(qemu, instance, export, noise(3, MIB))
    now = noise(3, MIB) + NOW[MIB:]
    source = qemu.source(BytesImage(THEN), new_id())
    qemu.qemu.close()
    victim = [sys.executable, "-m", "tests.engine.reverting_victim"]
    victim += [str(qemu.root), str(qemu.run_dir), instance, export.disk_id, source.uri]
    victim += [f"{source.snapshot_id},{kept}", str(SIZE), step]
    assert subprocess.run(victim, cwd=CHECKOUT, timeout=60, check=False).returncode == 9

    qemu.engine = qemu.qemu = qemu.open()
    qemu.engine.adopt({instance: [export]})

    assert qemu.engine.health(export.disk_id).ok
    assert list((qemu.root / "reverts").glob("*")) == []
    past = qemu.engine.past(export.disk_id)
    assert (past is not None) == (step in AFTER)
    assert read(qemu, instance, export) == (THEN if past else now)
    assert at(qemu, export.disk_id, pending) == NOW
    if past:
        assert past.point == kept
        assert at(qemu, export.disk_id, kept) == now
    else:
        qemu.engine.release(export.disk_id, kept, stored=False)
        kept = new_id()
    qemu.engine.revert(export.disk_id, source, kept, size=SIZE)
    assert read(qemu, instance, export) == THEN
    assert at(qemu, export.disk_id, kept) == now
    for point in (pending, kept):
        qemu.engine.release(export.disk_id, point, stored=True)
    assert qemu.engine.settle()
    assert list(qemu.engine.points(export.disk_id)) == [source.snapshot_id]
    assert not (qemu.folder(export.disk_id) / "base.raw").exists()


def test_removal_of_the_past_that_was_cut_short_is_begun_again(qemu: QemuHarness) -> None:
    _, export = in_use(qemu)
    kept = new_id()
    source = qemu.source(BytesImage(THEN), new_id())
    qemu.engine.revert(export.disk_id, source, kept, size=SIZE)
    folder = qemu.folder(export.disk_id)
    qemu.qemu.close()
    for overlay in folder.glob("*.qcow2"):
        overlay.unlink()

    qemu.engine = qemu.qemu = qemu.open()
    assert list(qemu.engine.points(export.disk_id)) == [source.snapshot_id]
    qemu.engine.release(export.disk_id, source.snapshot_id, stored=True)
    assert qemu.engine.settle()

    assert [path.name for path in folder.iterdir()] == [f"reverted-000003-{kept}"]


def test_other_disks_of_the_instance_notice_nothing(qemu: QemuHarness) -> None:
    instance, export = in_use(qemu)
    other = Export(new_id(), "other")
    qemu.engine.create(other.disk_id, SIZE)
    qemu.engine.attach(instance, other)
    client = qemu.client(instance, other)
    client.write(0, NOW)
    daemon = qemu.daemon_pid(instance)
    source = qemu.source(BytesImage(THEN), new_id())

    qemu.engine.revert(export.disk_id, source, new_id(), size=SIZE)

    assert client.read(0, SIZE) == NOW
    assert qemu.daemon_pid(instance) == daemon
    assert read(qemu, instance, export) == THEN


def test_daemon_that_dies_is_started_on_the_new_layers(qemu: QemuHarness) -> None:
    instance, export = in_use(qemu)
    image = BytesImage(THEN)
    source = qemu.source(image, new_id())
    qemu.engine.revert(export.disk_id, source, new_id(), size=SIZE)
    write(qemu, instance, export, noise(4, MIB))

    qemu.kill_daemon(instance)

    eventually(lambda: qemu.has_daemon(instance))
    eventually(lambda: qemu.engine.health(export.disk_id).ok)
    assert read(qemu, instance, export) == noise(4, MIB) + THEN[MIB:]
    qemu.engine.fill(export.disk_id, image, snapshot_id=source.snapshot_id)
    assert read(qemu, instance, export) == noise(4, MIB) + THEN[MIB:]


def test_source_that_is_away_is_found_again(run_dir: Path, tmp_path: Path) -> None:
    settings = DaemonSettings(source_seconds=1)
    qemu = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    try:
        instance, export = in_use(qemu)
        kept = new_id()
        source = qemu.source(BytesImage(THEN), new_id())
        qemu.take_away(source)
        qemu.engine.revert(export.disk_id, source, kept, size=SIZE)
        assert not qemu.engine.health(export.disk_id).ok
        assert at(qemu, export.disk_id, kept) == NOW

        qemu.sources[0].resume()

        eventually(lambda: qemu.engine.health(export.disk_id).ok, 20)
        assert read(qemu, instance, export) == THEN
    finally:
        qemu.close()


def test_filling_that_is_under_way_touches_nothing_new(qemu: QemuHarness) -> None:
    image, started, go_on = BytesImage(THEN), threading.Event(), threading.Event()
    first = qemu.source(image, new_id())
    export, instance = Export(new_id(), "disk-1"), new_id()
    qemu.engine.begin_clone(export.disk_id, SIZE, first)
    qemu.engine.attach(instance, export)
    failures = []

    def tell(_told: Filling) -> None:
        started.set()
        assert go_on.wait(10)

    def fill() -> None:
        try:
            qemu.engine.fill(export.disk_id, image, tell, snapshot_id=first.snapshot_id)
        except EngineError as error:
            failures.append(str(error))

    filling = threading.Thread(target=fill)
    filling.start()
    assert started.wait(10)
    other = BytesImage(NOW)
    second, kept = qemu.source(other, new_id()), new_id()

    qemu.engine.revert(export.disk_id, second, kept, size=SIZE)
    go_on.set()
    filling.join()

    assert len(failures) == 1
    assert "was" in failures[0]
    assert "reverted while it was being filled" in failures[0]
    how_far = qemu.engine.filling(export.disk_id)
    assert how_far is not None
    assert (how_far.done, how_far.total) == (0, SIZE)
    assert read(qemu, instance, export) == NOW
    assert at(qemu, export.disk_id, kept) == THEN
    qemu.engine.fill(export.disk_id, other, snapshot_id=second.snapshot_id)
    assert read(qemu, instance, export) == NOW


def test_fork_that_is_being_copied_touches_nothing_new(qemu: QemuHarness) -> None:
    """On a file system without reflinks, as in `tmp_path` mostly; elsewhere there is no copying."""
    _, export = in_use(qemu)
    point, made, instance = new_id(), Export(new_id(), "fork"), new_id()
    qemu.engine.freeze({export.disk_id: point})
    qemu.engine.fork(export.disk_id, point, made.disk_id)
    qemu.engine.attach(instance, made)
    source, kept = qemu.source(BytesImage(THEN), new_id()), new_id()
    failures: list[str] = []

    def revert(_told: Filling) -> None:
        if not failures:
            qemu.engine.revert(made.disk_id, source, kept, size=SIZE)
            failures.append("")

    if (qemu.folder(made.disk_id) / "shared").exists():
        with pytest.raises(EngineError):
            qemu.engine.stand_alone(made.disk_id, revert)
    else:
        revert(Filling(0, 0))

    qemu.engine.stand_alone(made.disk_id)
    assert read(qemu, instance, made) == THEN
    assert at(qemu, made.disk_id, kept) == NOW
    assert qemu.engine.health(made.disk_id).ok
    qemu.engine.release(made.disk_id, point, stored=False)
    qemu.engine.release(made.disk_id, kept, stored=True)
    assert qemu.engine.settle()
    assert not (qemu.folder(made.disk_id) / "shared").exists()
    qemu.engine.release(export.disk_id, point, stored=True)
    assert qemu.engine.settle()
    assert len(qemu.layer_names(export.disk_id)) == 2


@pytest.fixture
def slow(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """An engine whose merges take a second for each MiB."""
    settings = DaemonSettings(merge_bytes_per_second=MIB)
    harness = QemuHarness(tmp_path / "data", run_dir / "run", settings)
    yield harness
    harness.close()


@pytest.mark.parametrize("is_attached", [True, False], ids=["attached", "detached"])
def test_merge_that_is_under_way_is_ended(slow: QemuHarness, is_attached: bool) -> None:
    instance, export = in_use(slow)
    point, kept = new_id(), new_id()
    slow.engine.freeze({export.disk_id: point})
    write(slow, instance, export, noise(5, MIB))
    if not is_attached:
        slow.engine.detach(instance, export.disk_id)
    slow.engine.release(export.disk_id, point, stored=True)
    time.sleep(0.5)
    source = slow.source(BytesImage(THEN), new_id())

    slow.engine.revert(export.disk_id, source, kept, size=SIZE)

    if not is_attached:
        slow.engine.attach(instance, export)
    assert read(slow, instance, export) == THEN
    assert at(slow, export.disk_id, kept) == noise(5, MIB) + NOW[MIB:]
    assert slow.engine.health(export.disk_id).ok


def test_damaged_disk_can_be_given_up(qemu: QemuHarness) -> None:
    instance, export = in_use(qemu)
    qemu.engine.detach(instance, export.disk_id)
    (qemu.folder(export.disk_id) / "base.raw").unlink()
    source, point = qemu.source(BytesImage(THEN), new_id()), new_id()

    with pytest.raises(LayerDamagedError):
        qemu.engine.revert(export.disk_id, source, point, size=SIZE)
    qemu.engine.revert(export.disk_id, source, point, size=SIZE, keep=False)

    assert qemu.engine.health(export.disk_id).ok
    qemu.engine.attach(instance, export)
    assert read(qemu, instance, export) == THEN


def test_a_disk_whose_newest_layer_is_gone_can_be_given_up(qemu: QemuHarness) -> None:
    """Its daemon goes on with the file, and a server that takes it over misses that."""
    instance, export = in_use(qemu)
    qemu.engine.freeze({export.disk_id: new_id()})
    max(qemu.folder(export.disk_id).glob("*.qcow2")).unlink()
    qemu.restart()
    qemu.engine.adopt({instance: [export]})
    source, point = qemu.source(BytesImage(THEN), new_id()), new_id()

    with pytest.raises(LayerDamagedError):
        qemu.engine.revert(export.disk_id, source, point, size=SIZE)
    qemu.engine.revert(export.disk_id, source, point, size=SIZE, keep=False)

    assert qemu.engine.health(export.disk_id).ok
    assert read(qemu, instance, export) == THEN


def test_no_room_changes_nothing(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    instance, export = in_use(qemu)
    source = qemu.source(BytesImage(THEN), new_id())
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if "reverted-" in target.name:
            raise OSError(28, "No space left on device", str(target))
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(DiskFullError):
            qemu.engine.revert(export.disk_id, source, new_id(), size=SIZE)

    assert qemu.engine.past(export.disk_id) is None
    assert list((qemu.root / "reverts").glob("*")) == []
    assert qemu.layer_names(export.disk_id) == sorted(
        ["base.raw", *[name for name in qemu.layer_names(export.disk_id) if "000001" in name]]
    )
    assert read(qemu, instance, export) == NOW
    write(qemu, instance, export, noise(6, BLOCK_SIZE))
    kept = new_id()
    qemu.engine.revert(export.disk_id, source, kept, size=SIZE)
    assert at(qemu, export.disk_id, kept) == noise(6, BLOCK_SIZE) + NOW[BLOCK_SIZE:]
