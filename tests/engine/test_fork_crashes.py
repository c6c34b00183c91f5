"""Forks of the QEMU engine, and what is killed or fails while they share layers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mooring.engine.qemu import forking
from mooring.engine.qemu.layers import qcow2
from mooring.host.pace import Rests
from mooring.model.clock import SystemClock
from mooring.model.errors import DiskFullError
from tests.engine.forks import SIZE, engine_on, fork, read_again, shared
from tests.engine.harness import MIB, QemuHarness, attached, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]


def test_a_server_killed_between_the_last_copy_and_the_change(
    run_dir: Path, tmp_path: Path
) -> None:
    with engine_on("ext4", run_dir, tmp_path) as harness:
        instance, export = attached(harness, SIZE)
        client = harness.client(instance, export)
        client.write(0, noise(1, MIB))
        _, made = fork(harness, export.disk_id)
        other = new_id()
        harness.engine.attach(other, made)
        second = harness.client(other, made)
        disk = harness.qemu._registry.disk(made.disk_id)
        for layer in disk.layers.shared():
            forking._copy(disk.layers, layer, lambda _: None, Rests(SystemClock()))
        harness.restart()

        harness.engine.adopt({instance: [export], other: [made]})
        assert harness.engine.settle()

        assert not shared(harness, made)
        client.write(0, noise(2, MIB))
        assert second.read(0, MIB) == noise(1, MIB)
        pid = harness.daemon_pid(other)
        open_files = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
        assert not [name for name in open_files if "/shared/" in name]


def test_a_daemon_killed_while_layers_are_shared(run_dir: Path, tmp_path: Path) -> None:
    with engine_on("ext4", run_dir, tmp_path) as harness:
        instance, export = attached(harness, SIZE)
        harness.client(instance, export).write(0, noise(1, MIB))
        _, made = fork(harness, export.disk_id)
        other = new_id()
        harness.engine.attach(other, made)
        second = harness.client(other, made)
        second.write(MIB, noise(2, MIB))
        second.flush()

        harness.kill_daemon(instance)
        harness.kill_daemon(other)

        assert read_again(harness, other, made) == noise(1, MIB) + noise(2, MIB)
        assert read_again(harness, instance, export) == noise(1, MIB) + bytes(MIB)


def test_a_fork_that_cannot_be_made_leaves_nothing(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, export = attached(qemu, SIZE)
    point, made = new_id(), new_id()
    qemu.engine.freeze({export.disk_id: point})

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(qcow2, "write_empty", fail)
        with pytest.raises(DiskFullError):
            qemu.engine.fork(export.disk_id, point, made)

    assert not list((qemu.root / "forks").iterdir())
    assert not qemu.folder(made).exists()
    qemu.engine.fork(export.disk_id, point, made)
    assert qemu.engine.health(made).ok


def test_what_a_crash_left_of_a_fork_goes_at_the_next_start(qemu: QemuHarness) -> None:
    left = qemu.root / "forks" / new_id()
    left.mkdir(parents=True)
    (left / "base.raw").touch()

    qemu.restart()

    assert not left.exists()
