"""Our reading of overlays against QEMU's own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.engine.lineage import ZERO_ORIGIN
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.reading.frozen import QemuFrozenImage
from mooring.model.errors import EngineError, LayerDamagedError
from mooring.model.extents import BLOCK_SIZE, GIB, Extent
from tests.engine.harness import MIB, check_extents, content, new_id

BLOCKS = 2048
SIZE = BLOCKS * BLOCK_SIZE

commands = st.tuples(
    st.sampled_from(["write -P 1", "write -P 2", "write -z", "write -zu"]),
    st.integers(0, BLOCKS - 1),
    st.integers(1, 100),
)
overlays = st.lists(st.lists(commands, max_size=6), min_size=1, max_size=3)


def qemu_io(path: Path, lines: list[str]) -> None:
    if lines:
        options = [part for line in lines for part in ("-c", line)]
        command = ["qemu-io", "-f", "qcow2", "-d", "unmap", *options, str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def qemu_map(path: Path) -> list[dict[str, object]]:
    command = ["qemu-img", "map", "-f", "qcow2", "--output=json", str(path)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    parsed: list[dict[str, object]] = json.loads(answer)
    return parsed


def blocks_of(extents: list[Extent], zero: bool | None = None) -> set[int]:
    return {
        block
        for extent in extents
        if zero is None or extent.zero == zero
        for block in range(extent.offset // BLOCK_SIZE, extent.end // BLOCK_SIZE)
    }


@pytest.mark.full
@pytest.mark.requires("qemu-img", "qemu-io")
@settings(max_examples=15, deadline=None)
@given(overlays)
def test_map_and_content_agree_with_qemu(batches: list[list[tuple[str, int, int]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        layers = DiskLayers(Path(name), new_id())
        layers.make_base(SIZE)
        expected = bytearray(SIZE)
        with layers.base.path.open("r+b") as base:
            base.write(b"\7" * (64 * BLOCK_SIZE))
            expected[: 64 * BLOCK_SIZE] = b"\7" * (64 * BLOCK_SIZE)
        points: list[str] = []
        touched: list[set[int]] = []
        for batch in batches:
            points.append(new_id())
            layer = layers.add_overlay(points[-1])
            touched.append(set())
            lines = []
            for command, block, wanted in batch:
                count = min(wanted, BLOCKS - block)
                lines.append(f"{command} {block * BLOCK_SIZE} {count * BLOCK_SIZE}")
                value = int(command[-1]) if command[-1].isdigit() else 0
                end = (block + count) * BLOCK_SIZE
                expected[block * BLOCK_SIZE : end] = bytes([value]) * (count * BLOCK_SIZE)
                touched[-1] |= set(range(block, block + count))
            qemu_io(layer.path, lines)
        top = layers.overlays()[-1].path

        image = QemuFrozenImage(layers.check(), new_id(), lambda: None)
        extents = list(image.extents())
        check_extents(extents, SIZE)
        assert content(image) == expected
        by_qemu = qemu_map(top)
        data = {
            block
            for entry in by_qemu
            if entry["data"] and not entry["zero"]
            for block in range(
                int(str(entry["start"])) // BLOCK_SIZE,
                (int(str(entry["start"])) + int(str(entry["length"]))) // BLOCK_SIZE,
            )
        }
        assert blocks_of(extents) == data
        for place, point in enumerate(points):
            changes = list(image.changes(point))
            check_extents(changes, SIZE)
            assert blocks_of(changes) == set().union(*touched[place:])
            for block in blocks_of(changes, zero=True):
                assert not any(expected[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE])
        image.close()


@pytest.mark.full
@pytest.mark.requires("qemu-img")
@pytest.mark.parametrize("size", [MIB, GIB, GIB + MIB, 16 * 1024 * GIB])
def test_qemu_finds_no_fault_in_an_empty_overlay(tmp_path: Path, size: int) -> None:
    layers = DiskLayers(tmp_path, new_id())
    # The largest files of the file system may be smaller than the largest disks.
    layers.make_base(min(size, 15 * 1024 * GIB))
    layer = layers.add_overlay(ZERO_ORIGIN)
    check = ["qemu-img", "check", "-f", "qcow2", "--output=json", str(layer.path)]
    info = ["qemu-img", "info", "-f", "qcow2", "--output=json", str(layer.path)]

    checked = json.loads(subprocess.run(check, check=True, stdout=subprocess.PIPE).stdout)
    told = json.loads(subprocess.run(info, check=True, stdout=subprocess.PIPE).stdout)

    assert "leaks" not in checked
    assert "corruptions" not in checked
    assert told["virtual-size"] == layers.size()
    assert told["backing-filename"] == "base.raw"
    assert told["backing-filename-format"] == "raw"
    assert told["format-specific"]["data"]["extended-l2"]


def test_empty_overlay_is_small_and_holds_nothing(tmp_path: Path) -> None:
    layers = DiskLayers(tmp_path, new_id())
    layers.make_base(3 * GIB + MIB)
    layer = layers.add_overlay(ZERO_ORIGIN)

    overlay = qcow2.Overlay(layer)
    assert overlay.windows() == []
    assert overlay.window(3) is None
    assert overlay.header.size == 3 * GIB + MIB
    assert overlay.header.disk_id == layers.disk_id
    overlay.close()
    assert layer.path.stat().st_blocks * 512 <= 64 * 1024


def test_sparse_giant_is_walked_by_its_data(tmp_path: Path) -> None:
    layers = DiskLayers(tmp_path, new_id())
    size = 8 * 1024 * GIB
    layers.make_base(size)
    places = [0, 5 * GIB - BLOCK_SIZE, 5 * GIB, 4097 * GIB, size - BLOCK_SIZE]
    with layers.base.path.open("r+b") as base:
        for place in places:
            os.pwrite(base.fileno(), b"\1" * BLOCK_SIZE, place)
    layers.add_overlay(ZERO_ORIGIN)
    image = QemuFrozenImage(layers.check(), new_id(), lambda: None)

    assert list(image.extents()) == [
        Extent(0, BLOCK_SIZE),
        Extent(5 * GIB - BLOCK_SIZE, 2 * BLOCK_SIZE),
        Extent(4097 * GIB, BLOCK_SIZE),
        Extent(size - BLOCK_SIZE, BLOCK_SIZE),
    ]
    assert image.read(5 * GIB - MIB, 2 * MIB).count(1) == 2 * BLOCK_SIZE
    for offset, length in ((size, BLOCK_SIZE), (-BLOCK_SIZE, BLOCK_SIZE)):
        with pytest.raises(EngineError, match="cannot read"):
            image.read(offset, length)
    image.close()
    image.close()


def test_broken_table_is_noticed(tmp_path: Path) -> None:
    layers = DiskLayers(tmp_path, new_id())
    layers.make_base(GIB)
    layer = layers.add_overlay(ZERO_ORIGIN)
    path = layer.path
    table = 4 * qcow2.CLUSTER
    with path.open("r+b") as file:
        file.truncate(table + qcow2.CLUSTER)
        os.pwrite(file.fileno(), (table | 1 << 63).to_bytes(8, "big"), 3 * qcow2.CLUSTER)

    def window_with(entry: int, bitmap: int) -> None:
        with path.open("r+b") as file:
            raw = entry.to_bytes(8, "big") + bitmap.to_bytes(8, "big")
            os.pwrite(file.fileno(), raw, table)
        overlay = qcow2.Overlay(layer)
        try:
            overlay.window(0)
        finally:
            overlay.close()

    window_with(0, 1 << 32)
    for entry, bitmap in (
        (table, 1 << 32 | 1),  # both data and zero
        (table + 512, 1),  # between clusters
        (0, 1),  # data without a place
        (1 << 62 | table, 1),  # compressed
        (64 * qcow2.CLUSTER, 1),  # past the end
    ):
        with pytest.raises(LayerDamagedError, match=path.name):
            window_with(entry, bitmap)
