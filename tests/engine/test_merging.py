"""Merges into the base, done past the daemon: nobody sees them, whatever ends when."""

from __future__ import annotations

import errno
import pkgutil
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.open_layers import OpenLayers
from mooring.engine.qemu.layers.layer import Layer
from mooring.engine.qemu.merging import copying, into_base, merger
from mooring.engine.qemu.reading.frozen import QemuFrozenImage
from mooring.host.many_requests import ManyRequests, Requests
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE
from tests.engine.harness import (
    MIB,
    QemuHarness,
    attached,
    content,
    eventually,
    new_id,
    noise,
)
from tests.engine.merging_victim import STEPS
from tests.mounts import file_system

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

CHECKOUT = Path(__file__).parents[2]
SIZE = 16 * MIB
BLOCKS = SIZE // BLOCK_SIZE


@pytest.fixture(params=["here", "xfs", "btrfs"])
def anywhere(request: pytest.FixtureRequest, run_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder on file systems that differ in what they know of holes and direct I/O."""
    if request.param == "here":
        yield tmp_path
    else:
        with file_system(tmp_path / "mount", request.param) as folder:
            yield folder


def layered(harness: QemuHarness, seed: int) -> tuple[str, bytes]:
    """A detached disk with some layers of random writes and zeros; and what it holds."""
    chance = random.Random(seed)
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    whole = bytearray(SIZE)
    for _ in range(4):
        for _ in range(60):
            first = chance.randrange(BLOCKS)
            count = min(BLOCKS - first, chance.choice([1, 1, 2, 7, 40, 300]))
            kind = chance.random()
            data = bytes(count * BLOCK_SIZE) if kind < 0.4 else chance.randbytes(count * BLOCK_SIZE)
            if kind < 0.2:
                client.write_zeroes(first * BLOCK_SIZE, len(data))
            else:
                client.write(first * BLOCK_SIZE, data)
            whole[first * BLOCK_SIZE : first * BLOCK_SIZE + len(data)] = data
        harness.engine.freeze({export.disk_id: new_id()})
    client.close()
    harness.engine.detach(instance, export.disk_id)
    return export.disk_id, bytes(whole)


def read(layers: list[Layer]) -> bytes:
    image = QemuFrozenImage(layers, "", lambda: None)
    try:
        return content(image)
    finally:
        image.close()


class _EndedError(Exception):
    pass


@pytest.mark.parametrize("blocks", [3, copying.MOST_BLOCKS])
def test_copy_is_seen_by_nobody_and_may_end_anywhere(
    anywhere: Path, run_dir: Path, blocks: int
) -> None:
    harness = QemuHarness(anywhere / "data", run_dir / "run")
    try:
        disk, whole = layered(harness, blocks)
        layers = harness.qemu._registry.disk(disk).layers.check()
        base, *overlays, _ = layers
        chance = random.Random(1)
        for _ in range(20):
            left = chance.randrange(40)

            def tell(done: int) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise _EndedError

            try:
                copying.copy_down(base, overlays, tell, blocks, harness.settings.direct)
            except _EndedError:
                assert read(layers) == whole
        copying.copy_down(base, overlays, lambda done: None, blocks, harness.settings.direct)

        assert read(layers) == whole
        # All that the overlays held is in the base now: none of them is needed.
        assert base.path.read_bytes() == whole
    finally:
        harness.close()


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_long_runs_are_shared_where_the_file_system_can(
    tmp_path: Path, run_dir: Path, kind: str
) -> None:
    with file_system(tmp_path / "mount", kind) as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        try:
            instance, export = attached(harness, SIZE)
            client = harness.client(instance, export)
            long, short = noise(1, 4 * MIB), noise(2, 8 * BLOCK_SIZE)
            client.write(2 * MIB, long)
            client.write(9 * MIB, short)
            harness.engine.freeze({export.disk_id: new_id()})
            client.close()
            base, *overlays, _ = harness.qemu._registry.disk(export.disk_id).layers.check()

            told: list[int] = []
            written = copying.copy_down(base, overlays, told.append, copying.MOST_BLOCKS, True)

            assert written == sum(told) == len(short)
            held = base.path.read_bytes()
            assert held[2 * MIB : 6 * MIB] == long
            assert held[9 * MIB : 9 * MIB + len(short)] == short
            assert not any(held[: 2 * MIB])
        finally:
            harness.close()


def test_without_requests_in_flight(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no asynchronous I/O, or no more of it."""
    monkeypatch.setattr("mooring.host.many_requests._CALLS", {})
    disk, whole = layered(qemu, 5)
    for point in qemu.engine.points(disk):
        qemu.engine.release(disk, point, stored=True)

    assert qemu.engine.settle()

    assert len(qemu.layer_names(disk)) == 2
    assert (qemu.folder(disk) / "base.raw").read_bytes() == whole


def test_without_holes(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "punch", lambda *_: False)
    disk, whole = layered(qemu, 6)
    for point in qemu.engine.points(disk):
        qemu.engine.release(disk, point, stored=True)

    assert qemu.engine.settle()

    assert (qemu.folder(disk) / "base.raw").read_bytes() == whole


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("in_use", [True, False], ids=["attached", "detached"])
def test_server_killed_in_a_merge(qemu: QemuHarness, step: str, in_use: bool) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    for number in range(4):
        client.write(number * MIB, noise(number, 2 * MIB))
        client.write_zeroes(number * MIB, 64 * 1024)
        qemu.engine.freeze({disk: new_id()})
    client.write(9 * MIB, noise(9, MIB))
    expected = client.read(0, SIZE)
    if not in_use:
        client.close()
        qemu.engine.detach(instance, disk)
    qemu.qemu.close()
    victim = [sys.executable, "-m", "tests.engine.merging_victim", str(qemu.root)]
    victim += [str(qemu.run_dir), instance if in_use else "", disk, step]
    code = subprocess.run(victim, cwd=CHECKOUT, timeout=60, check=False).returncode
    assert code == (9 if in_use or "OpenLayers" not in step else 0)

    qemu.engine = qemu.qemu = qemu.open()
    if in_use:
        assert client.read(0, SIZE) == expected
        qemu.engine.adopt({instance: [export]})
        assert client.read(0, SIZE) == expected
    else:
        qemu.engine.attach(instance, export)
    point = new_id()
    client = qemu.client(instance, export)
    client.write(12 * MIB, noise(12, MIB))
    expected = expected[: 12 * MIB] + noise(12, MIB) + expected[13 * MIB :]
    qemu.engine.freeze({disk: point})
    image = qemu.engine.open_point(disk, point)
    assert content(image) == expected
    image.close()
    for known in qemu.engine.points(disk):
        qemu.engine.release(disk, known, stored=True)
    assert qemu.engine.settle()
    assert qemu.engine.health(disk).ok
    assert len(qemu.layer_names(disk)) == 2
    assert client.read(0, SIZE) == expected


@pytest.mark.parametrize("step", ["copy_down", "lay_on", "drop_unused", "relink"])
def test_daemon_killed_in_a_merge(
    qemu: QemuHarness, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    for number in range(3):
        client.write(number * MIB, noise(number, 2 * MIB))
        qemu.engine.freeze({disk: new_id()})
    client.write(9 * MIB, noise(9, MIB))
    client.flush()
    expected = client.read(0, SIZE)
    place = {
        "copy_down": "mooring.engine.qemu.merging.into_base.copy_down",
        "relink": "mooring.engine.qemu.layers.disk_layers.DiskLayers.relink",
    }.get(step, f"mooring.engine.qemu.daemon.open_layers.OpenLayers.{step}")
    killed = False
    original = pkgutil.resolve_name(place)

    def kill(*given: object) -> object:
        nonlocal killed
        result = original(*given)
        if not killed:
            killed = True
            qemu.kill_daemon(instance)
        return result

    monkeypatch.setattr(place, kill)
    for known in qemu.engine.points(disk):
        qemu.engine.release(disk, known, stored=True)
    eventually(lambda: killed)
    eventually(lambda: len(qemu.layer_names(disk)) == 2, 30)

    assert qemu.engine.settle()
    eventually(lambda: qemu.engine.health(disk).ok)
    assert qemu.client(instance, export).read(0, SIZE) == expected
    point = new_id()
    qemu.engine.freeze({disk: point})
    image = qemu.engine.open_point(disk, point)
    assert content(image) == expected
    image.close()


def test_failing_base_is_told_and_written_later(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, whole = layered(qemu, 7)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(ManyRequests, "run", fail)
        for point in qemu.engine.points(disk):
            qemu.engine.release(disk, point, stored=True)
        eventually(lambda: "Input/output error" in qemu.engine.health(disk).problem)
        assert read(qemu.qemu._registry.disk(disk).layers.check()) == whole

    assert qemu.engine.settle()
    assert qemu.engine.health(disk).ok
    assert (qemu.folder(disk) / "base.raw").read_bytes() == whole


def test_merge_that_is_always_refused_is_tried_less_and_less_often(
    qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance, export = attached(qemu, SIZE)
    disk = export.disk_id
    client = qemu.client(instance, export)
    copies = 0
    copy = copying.copy_down

    def counted(*given: Any) -> int:
        nonlocal copies
        copies += 1
        return copy(*given)

    def refuse(*_: object) -> None:
        raise EngineError("Node is busy")

    with monkeypatch.context() as patch:
        patch.setattr("mooring.engine.qemu.merging.into_base.copy_down", counted)
        patch.setattr(OpenLayers, "lay_on", refuse)
        patch.setattr(merger, "_RETRY_SECONDS", 0.01)
        client.write(0, noise(1, MIB))
        qemu.engine.freeze({disk: (point := new_id())})
        qemu.engine.release(disk, point, stored=True)
        eventually(lambda: "3 times in a row" in qemu.engine.health(disk).problem)
        patch.setattr(merger, "_RETRY_SECONDS", 1000.0)
        patch.setattr(merger, "_LONGEST_RETRY_SECONDS", 1000.0)
        eventually(lambda: "after 1000 s" in qemu.engine.health(disk).problem)
        tried = copies
        for number in range(3):
            client.write(number * MIB, noise(number, MIB))
            qemu.engine.freeze({disk: (point := new_id())})
            qemu.engine.release(disk, point, stored=True)
            assert not qemu.engine.settle(0.5)

        assert copies == tried
        assert "Node is busy" in qemu.engine.health(disk).problem

    client.close()
    qemu.engine.detach(instance, disk)
    qemu.engine.attach(instance, export)
    assert qemu.engine.settle()
    assert qemu.engine.health(disk).ok
    assert len(qemu.layer_names(disk)) == 2


def test_disk_deleted_while_it_merges(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, _ = layered(qemu, 3)
    monkeypatch.setattr(into_base, "MOST_BLOCKS", 1)
    for point in qemu.engine.points(disk):
        qemu.engine.release(disk, point, stored=True)

    qemu.engine.delete(disk)

    assert qemu.engine.settle()
    assert not qemu.folder(disk).exists()


def test_a_fork_while_a_base_takes_in_layers(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written to the base any more when it has two names."""
    with file_system(tmp_path / "mount", "ext4") as folder:
        harness = QemuHarness(folder / "data", run_dir / "run")
        run = ManyRequests.run
        under_way, names = threading.Event(), []

        def slow(many: ManyRequests, wanted: Sequence[Requests]) -> None:
            under_way.set()
            time.sleep(0.3)
            run(many, wanted)
            names.append((harness.folder(export.disk_id) / "base.raw").stat().st_nlink)

        try:
            instance, export = attached(harness, SIZE)
            client = harness.client(instance, export)
            client.write(0, noise(1, 4 * MIB))
            monkeypatch.setattr(ManyRequests, "run", slow)
            monkeypatch.setattr(into_base, "MOST_BLOCKS", 16)
            point = new_id()
            harness.engine.freeze({export.disk_id: point})
            harness.engine.release(export.disk_id, point, stored=True)
            assert under_way.wait(10)

            made, other = Export(new_id(), "fork"), new_id()
            harness.engine.freeze({export.disk_id: (second := new_id())})
            harness.engine.fork(export.disk_id, second, made.disk_id)
            assert harness.engine.settle()

            assert set(names) == {1}
            monkeypatch.undo()
            assert harness.engine.health(export.disk_id).ok
            harness.engine.attach(other, made)
            forked = harness.client(other, made)
            assert forked.read(0, 4 * MIB) == noise(1, 4 * MIB)
            harness.engine.stand_alone(made.disk_id)
            assert harness.engine.settle()
            assert forked.read(0, 4 * MIB) == noise(1, 4 * MIB)
            assert client.read(0, 4 * MIB) == noise(1, 4 * MIB)
        finally:
            harness.close()
