"""Forks while something goes on with what they share: fillings, and other forks."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.engine.interface import Filling
from mooring.engine.qemu.layers.base_source import write_reached
from mooring.engine.qemu.stores.directory import DirectoryStore
from mooring.model.extents import BLOCK_SIZE
from tests.engine.harness import MIB, BytesImage, QemuHarness, attached, new_id, noise
from tests.engine.test_forking import SIZE, fork, read
from tests.mounts import file_system

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]


def test_a_filling_that_goes_on_while_a_fork_is_made(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is filled after the file was cloned, the fork has to fill for itself."""
    whole = noise(1, MIB)
    with file_system(tmp_path / "mount", "xfs") as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        try:
            disk_id = new_id()
            harness.engine.begin_clone(disk_id, SIZE, harness.source(BytesImage(whole), new_id()))
            layers = harness.qemu._registry.disk(disk_id).layers

            def fill_up_to(position: int) -> None:
                file = layers.open_filling()
                file.write(0, whole[:position])
                file.close()
                write_reached(layers.store, layers.folder, position)

            clone = DirectoryStore.clone

            def go_on(store: DirectoryStore, source: Path, target: Path) -> bool:
                cloned = clone(store, source, target)
                fill_up_to(MIB)
                return cloned

            fill_up_to(BLOCK_SIZE)
            monkeypatch.setattr(DirectoryStore, "clone", go_on)
            _, made = fork(harness, disk_id)
            harness.engine.fill(made.disk_id, BytesImage(whole))

            assert read(harness, made, MIB) == whole
        finally:
            harness.close()


def test_all_disks_merge_once_a_fork_of_a_fork_stands_alone(run_dir: Path, tmp_path: Path) -> None:
    with file_system(tmp_path / "mount", "ext4") as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        try:
            _, first = attached(harness, SIZE)
            point, second = fork(harness, first.disk_id)
            later, third = fork(harness, second.disk_id)
            for disk, known in ((first, point), (second, point), (second, later)):
                harness.engine.release(disk.disk_id, known, stored=True)
            harness.engine.stand_alone(second.disk_id)
            assert harness.engine.settle()

            harness.engine.stand_alone(third.disk_id)
            assert harness.engine.settle()

            assert harness.engine.health(first.disk_id).layers == 2
            assert harness.engine.health(second.disk_id).layers == 2
        finally:
            harness.close()


def test_a_fork_that_is_attached_while_it_is_copied(run_dir: Path, tmp_path: Path) -> None:
    """What a crash left is removed then, and the copy that is under way looks like that."""
    with file_system(tmp_path / "mount", "ext4") as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        try:
            instance, first = attached(harness, SIZE)
            harness.client(instance, first).write(0, noise(1, MIB))
            _, made = fork(harness, first.disk_id)
            another = new_id()

            def attach(_: Filling) -> None:
                harness.engine.attach(another, made)

            harness.engine.stand_alone(made.disk_id, attach)

            assert harness.engine.filling(made.disk_id) is None
            assert harness.client(another, made).read(0, MIB) == noise(1, MIB)
        finally:
            harness.close()
