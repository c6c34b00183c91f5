"""The files of a disk: what is taken in which order, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mooring.engine.lineage import ZERO_ORIGIN
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.base_source import BaseSource, read_reached, write_reached
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.model.errors import EngineError, LayerDamagedError
from tests.engine.harness import MIB, new_id


def made(folder: Path, overlays: int) -> DiskLayers:
    layers = DiskLayers(folder, new_id())
    layers.make_base(MIB)
    layers.add_overlay(ZERO_ORIGIN)
    for _ in range(overlays - 1):
        layers.add_overlay(new_id())
    return layers


def numbers(layers: DiskLayers) -> list[int]:
    return [layer.number for layer in layers.check()]


def test_layers_lie_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    layers = made(tmp_path, 3)

    assert numbers(layers) == [0, 1, 2, 3]
    assert [layer.point for layer in layers.check()][:2] == ["", ZERO_ORIGIN]
    assert layers.size() == MIB
    assert layers.base.path.stat().st_mode & 0o777 == 0o600
    assert layers.folder.stat().st_mode & 0o777 == 0o700


def test_merged_layers_are_left_out_once_the_header_says_so(tmp_path: Path) -> None:
    layers = made(tmp_path, 5)
    assert numbers(layers) == [0, 1, 2, 3, 4, 5]

    layers.relink({1, 2, 4, 5})
    assert numbers(layers) == [0, 1, 2, 4, 5]
    layers.relink({4, 5})
    assert numbers(layers) == [0, 4, 5]

    layers.overlays()[1].path.unlink()
    assert numbers(layers) == [0, 4, 5]
    layers.remove_leftovers()
    assert [layer.number for layer in layers.overlays()] == [4, 5]
    assert numbers(layers) == [0, 4, 5]
    assert layers.add_overlay(new_id()).number == 6
    assert numbers(layers) == [0, 4, 5, 6]


@pytest.mark.full
@pytest.mark.requires("qemu-img", "qemu-io")
def test_qemu_opens_the_chain_by_the_headers(tmp_path: Path) -> None:
    layers = made(tmp_path, 3)
    top = layers.overlays()[-1].path
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 4k", str(top)], check=True)

    # QEMU writes the header anew, and thus longer, when it changes the backing file.
    below = layers.overlays()[1].path.name
    rebase = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", below, "-F", "qcow2", str(top)]
    subprocess.run(rebase, check=True)
    for used, expected in (({1, 2, 3}, ["qcow2", "qcow2", "raw"]), ({3}, ["raw"])):
        layers.relink(used)
        command = ["qemu-img", "info", "--backing-chain", "--output=json", str(top)]
        chain = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        assert [image.get("backing-filename-format") for image in chain] == [*expected, None]
        assert len(chain) == len(layers.check())
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(top)], check=True)


def test_missing_layer_is_named(tmp_path: Path) -> None:
    layers = made(tmp_path, 3)
    doomed = layers.overlays()[1]
    doomed.path.unlink()

    with pytest.raises(LayerDamagedError, match=doomed.path.name):
        layers.check()


def test_missing_base_is_named(tmp_path: Path) -> None:
    layers = made(tmp_path, 1)
    layers.base.path.unlink()

    with pytest.raises(LayerDamagedError, match=r"base\.raw"):
        layers.check()


def test_truncated_base_is_noticed(tmp_path: Path) -> None:
    layers = made(tmp_path, 1)
    os.truncate(layers.base.path, MIB // 2)

    with pytest.raises(LayerDamagedError, match=str(MIB // 2)):
        layers.check()


@pytest.mark.parametrize("length", [0, 100, 4096, 3 * qcow2.CLUSTER])
def test_truncated_overlay_is_noticed(tmp_path: Path, length: int) -> None:
    layers = made(tmp_path, 2)
    os.truncate(layers.overlays()[1].path, length)

    with pytest.raises(LayerDamagedError, match=layers.overlays()[1].path.name):
        layers.check()


def test_layer_of_another_disk_is_noticed(tmp_path: Path) -> None:
    layers, other = made(tmp_path, 2), made(tmp_path, 2)
    shutil.copy(other.overlays()[1].path, layers.overlays()[1].path)

    with pytest.raises(LayerDamagedError, match=other.disk_id):
        layers.check()


def test_renamed_layer_is_noticed(tmp_path: Path) -> None:
    layers = made(tmp_path, 2)
    top = layers.overlays()[1].path
    top.rename(top.with_name(f"000002-{new_id()}.qcow2"))

    with pytest.raises(LayerDamagedError, match="belongs to"):
        layers.check()


def test_file_of_another_kind_is_noticed(tmp_path: Path) -> None:
    layers = made(tmp_path, 2)
    layers.overlays()[0].path.write_bytes(bytes(4 * qcow2.CLUSTER))

    with pytest.raises(LayerDamagedError, match="not a qcow2 file"):
        layers.check()


def test_half_made_files_count_for_nothing(tmp_path: Path) -> None:
    layers = made(tmp_path, 2)
    half = layers.folder / f"000003-{new_id()}.qcow2.new"
    half.write_bytes(b"half")

    assert numbers(layers) == [0, 1, 2]
    layers.remove_leftovers()
    assert not half.exists()


def test_leftovers_are_removed_while_a_filling_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As whoever attaches the disk does; a filling holds no lock."""
    layers = DiskLayers(tmp_path, new_id())
    layers.begin_lazy_base(MIB, BaseSource("/socket", "export", MIB))
    layers.add_overlay(new_id())
    rename = Path.rename

    def meanwhile(path: Path, target: Path) -> Path:
        layers.remove_leftovers()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    write_reached(layers.store, layers.folder, 4096)

    assert read_reached(layers.store, layers.folder) == 4096


def test_disk_without_overlay_does_not_exist(tmp_path: Path) -> None:
    layers = DiskLayers(tmp_path, new_id())
    layers.begin_base(MIB).close()
    assert not layers.exist()
    with pytest.raises(EngineError, match="does not exist"):
        layers.check()

    layers.finish_base()
    assert not layers.exist()
    layers.add_overlay(ZERO_ORIGIN)
    assert layers.exist()


@pytest.mark.parametrize("odd", ["", "..", "a/b", "A" * 36, "0" * 36])
def test_only_ids_become_file_names(tmp_path: Path, odd: str) -> None:
    with pytest.raises(EngineError, match="not an id"):
        DiskLayers(tmp_path, odd)
