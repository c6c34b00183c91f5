"""The room that zeros and trims give back, in the layers and in the base."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import DiskTooLargeError
from mooring.model.extents import BLOCK_SIZE, Extent
from tests.engine.harness import MIB, QemuHarness, attached, content, new_id, noise

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

SIZE = 64 * MIB
HELD = 16 * MIB
SLACK = 2 * MIB
"""What tables and headers may take."""


def used(path: Path) -> int:
    """Bytes that the files of a disk take on the host."""
    return sum(file.stat().st_blocks * 512 for file in path.iterdir())


def snapshotted(qemu: QemuHarness, export: Export) -> str:
    """Freeze, say that the point is stored, and wait for the merge."""
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    qemu.engine.release(export.disk_id, point, stored=True)
    assert qemu.engine.settle(30)
    return point


@pytest.mark.parametrize("punch", [True, False])
def test_zeros_give_the_room_of_data_back(qemu: QemuHarness, punch: bool) -> None:
    instance, export = attached(qemu, SIZE)
    folder = qemu.folder(export.disk_id)
    client = qemu.client(instance, export)
    client.write(0, noise(1, HELD))
    first = snapshotted(qemu, export)
    assert used(folder) > HELD

    client.write_zeroes(BLOCK_SIZE, HELD - 2 * BLOCK_SIZE, punch=punch)
    second = new_id()
    qemu.engine.freeze({export.disk_id: second})

    image = qemu.engine.open_point(export.disk_id, second)
    zeros = Extent(BLOCK_SIZE, HELD - 2 * BLOCK_SIZE, zero=True)
    assert list(image.changes(first)) == [zeros]
    image.close()
    qemu.engine.release(export.disk_id, second, stored=True)
    assert qemu.engine.settle(30)
    assert used(folder) < SLACK
    expected = bytearray(noise(1, HELD).ljust(SIZE, b"\0"))
    expected[zeros.offset : zeros.end] = bytes(zeros.length)
    assert client.read(0, SIZE) == expected


def test_zeros_on_a_detached_disk_give_room_back(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    client = qemu.client(instance, export)
    client.write(0, noise(1, HELD))
    snapshotted(qemu, export)
    client.write_zeroes(0, HELD)
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})
    client.close()
    qemu.engine.detach(instance, export.disk_id)

    qemu.engine.release(export.disk_id, point, stored=True)
    assert qemu.engine.settle(30)

    assert used(qemu.folder(export.disk_id)) < SLACK


def test_data_written_as_zeros_take_no_room_in_the_base(qemu: QemuHarness) -> None:
    instance, export = attached(qemu, SIZE)
    client = qemu.client(instance, export)
    client.write(0, bytes(HELD))

    snapshotted(qemu, export)

    assert used(qemu.folder(export.disk_id)) < SLACK


def test_trims(qemu: QemuHarness) -> None:
    """What was trimmed reads as zeros where QEMU may discard; elsewhere nothing is lost."""
    instance, export = attached(qemu, SIZE)
    client = qemu.client(instance, export)
    client.write(0, noise(1, HELD))
    snapshotted(qemu, export)
    client.trim(0, HELD)
    point = new_id()
    qemu.engine.freeze({export.disk_id: point})

    image = qemu.engine.open_point(export.disk_id, point)
    held = content(image)
    image.close()
    discards = version(qemu, instance) >= (10, 0, 11)
    assert held == (bytes(SIZE) if discards else noise(1, HELD).ljust(SIZE, b"\0"))
    qemu.engine.release(export.disk_id, point, stored=True)
    assert qemu.engine.settle(30)
    assert client.read(0, SIZE) == held
    if discards:
        assert used(qemu.folder(export.disk_id)) < SLACK


def version(qemu: QemuHarness, instance: str) -> tuple[int, ...]:
    daemon = qemu.qemu._registry.instance(instance).daemon()
    return daemon._connection.version()


def test_a_disk_that_no_file_can_hold(qemu: QemuHarness) -> None:
    """As 16384 GB on ext4: the error says what would help, and nothing is left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    disk_id = new_id()
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, before[1]))
    try:
        with pytest.raises(DiskTooLargeError, match="make a smaller disk"):
            qemu.engine.create(disk_id, 2 * SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    qemu.engine.delete(disk_id)
    assert not qemu.folder(disk_id).exists()
    qemu.engine.create(disk_id, 2 * SIZE)
