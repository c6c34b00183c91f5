"""Growth on QEMU: killed at every step, and on layers of earlier versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mooring.engine.qemu.layers import qcow2
from tests.engine.growing_victim import STEPS
from tests.engine.harness import MIB, QemuHarness, attached, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

CHECKOUT = Path(__file__).parents[2]
SIZE, LARGER = 8 * MIB, 24 * MIB


@pytest.mark.parametrize("step", STEPS)
def test_server_killed_in_a_growth(qemu: QemuHarness, step: str) -> None:
    instance, export = attached(qemu, SIZE)
    client = qemu.client(instance, export)
    client.write(SIZE - MIB, noise(1, MIB))
    client.close()
    qemu.qemu.close()
    victim = [sys.executable, "-m", "tests.engine.growing_victim"]
    victim += [str(qemu.root), str(qemu.run_dir), instance, export.disk_id, str(LARGER), step]
    assert subprocess.run(victim, cwd=CHECKOUT, timeout=60, check=False).returncode == 9

    qemu.engine = qemu.qemu = qemu.open()
    qemu.engine.adopt({instance: [export]})

    assert qemu.engine.health(export.disk_id).ok
    client = qemu.client(instance, export)
    assert client.info.size in (SIZE, LARGER)
    assert client.read(SIZE - MIB, MIB) == noise(1, MIB)
    qemu.engine.grow(export.disk_id, LARGER)
    client = qemu.client(instance, export)
    assert client.info.size == LARGER
    assert client.read(SIZE - MIB, 2 * MIB) == noise(1, MIB) + bytes(MIB)


def test_layers_of_version_1_grow(qemu: QemuHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(qcow2, "_BELOW_EXTENSION", 0x4D4F4F54)  # so that nobody finds it
        instance, export = attached(qemu, SIZE)
        point = new_id()
        qemu.engine.freeze({export.disk_id: point})
        qemu.engine.release(export.disk_id, point, stored=False)
        assert qemu.engine.settle()
    client = qemu.client(instance, export)
    client.write(0, noise(1, MIB))
    client.close()

    for number in range(1, 5):
        qemu.engine.grow(export.disk_id, SIZE + number * MIB)
        assert qemu.engine.settle()
        assert qemu.engine.health(export.disk_id).ok
    assert qemu.engine.health(export.disk_id).layers <= 6
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    qemu.engine.release(export.disk_id, point, stored=True)

    assert qemu.engine.settle()
    assert qemu.engine.health(export.disk_id).layers == 2
    assert qemu.client(instance, export).read(0, SIZE + 4 * MIB)[:MIB] == noise(1, MIB)
