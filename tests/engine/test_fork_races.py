"""Forks while something goes on with what they share: fillings, merges, other forks."""

from __future__ import annotations

import threading
from collections.abc import Container
from pathlib import Path

import pytest

from mooring.engine.interface import Export, Filling
from mooring.engine.qemu.layers.base_source import write_reached
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.stores.directory import DirectoryStore
from mooring.model.extents import BLOCK_SIZE
from tests.engine.forks import SIZE, engine_on, fork, read, read_again
from tests.engine.harness import MIB, BytesImage, attached, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]


def test_a_filling_that_goes_on_while_a_fork_is_made(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is filled after the file was cloned, the fork has to fill for itself."""
    whole = noise(1, MIB)
    with engine_on("xfs", run_dir, tmp_path) as harness:
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


def test_all_disks_merge_once_a_fork_of_a_fork_stands_alone(run_dir: Path, tmp_path: Path) -> None:
    with engine_on("ext4", run_dir, tmp_path) as harness:
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


def test_a_fork_that_is_attached_while_it_is_copied(run_dir: Path, tmp_path: Path) -> None:
    """What a crash left is removed then, and the copy that is under way looks like that."""
    with engine_on("ext4", run_dir, tmp_path) as harness:
        instance, first = attached(harness, SIZE)
        harness.client(instance, first).write(0, noise(1, MIB))
        _, made = fork(harness, first.disk_id)
        another = new_id()

        def attach(_: Filling) -> None:
            harness.engine.attach(another, made)

        harness.engine.stand_alone(made.disk_id, attach)

        assert harness.engine.filling(made.disk_id) is None
        assert harness.client(another, made).read(0, MIB) == noise(1, MIB)


def test_a_fork_while_a_merge_is_being_written_down(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is over, and the daemon has closed its layers, but headers still name them."""
    with engine_on("ext4", run_dir, tmp_path) as harness:
        under_way, go_on = threading.Event(), threading.Event()
        sync = DiskLayers.sync

        def held(layers: DiskLayers, numbers: Container[int]) -> None:
            if threading.current_thread() is not threading.main_thread():
                under_way.set()
                go_on.wait(10)
            sync(layers, numbers)

        monkeypatch.setattr(DiskLayers, "sync", held)
        try:
            instance, export = attached(harness, SIZE)
            client = harness.client(instance, export)
            client.write(0, noise(1, MIB))
            point = new_id()
            harness.engine.freeze({export.disk_id: point})
            client.write(MIB, noise(2, MIB))
            harness.engine.freeze({export.disk_id: new_id()})
            harness.engine.release(export.disk_id, point, stored=False)
            assert under_way.wait(10)

            _, made = fork(harness, export.disk_id)
            go_on.set()
            for turn in range(3):
                client.write(2 * MIB, noise(turn, MIB))
                later = new_id()
                harness.engine.freeze({export.disk_id: later})
                harness.engine.release(export.disk_id, later, stored=False)
            assert harness.engine.settle()

            assert harness.engine.health(export.disk_id).ok
            harness.engine.stand_alone(made.disk_id)
            assert read(harness, made, 2 * MIB) == noise(1, MIB) + noise(2, MIB)
            harness.kill_daemon(instance)
            assert read_again(harness, instance, export) == noise(1, MIB) + noise(2, MIB)
        finally:
            go_on.set()


def test_a_fork_made_before_a_merge_that_has_ended_is_seen_to(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header must not lead to a merged layer, for it cannot be changed once it is shared."""
    merged, forked = threading.Event(), threading.Event()
    sync = DiskLayers.sync

    def hesitate(layers: DiskLayers, numbers: Container[int]) -> None:
        if not merged.is_set():
            merged.set()
            assert forked.wait(30)
        sync(layers, numbers)

    monkeypatch.setattr(DiskLayers, "sync", hesitate)
    with engine_on("ext4", run_dir, tmp_path) as harness:
        instance, export = attached(harness, SIZE)
        client = harness.client(instance, export)
        client.write(0, noise(1, MIB))
        given_up, point, made = new_id(), new_id(), new_id()
        harness.engine.freeze({export.disk_id: given_up})
        client.write(MIB, noise(2, MIB))
        harness.engine.freeze({export.disk_id: point})
        harness.engine.release(export.disk_id, given_up, stored=False)
        assert merged.wait(30)
        harness.engine.fork(export.disk_id, point, made)
        forked.set()
        harness.restart()
        harness.engine.adopt({instance: [export]})
        assert harness.engine.settle()

        harness.kill_daemon(instance)

        assert read_again(harness, instance, export) == noise(1, MIB) + noise(2, MIB)
        assert harness.engine.health(export.disk_id).ok
        assert read(harness, Export(made, "fork"), 2 * MIB) == noise(1, MIB) + noise(2, MIB)
