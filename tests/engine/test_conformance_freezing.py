"""What every engine promises of frozen points."""

from __future__ import annotations

import threading

import pytest

from mooring.engine.interface import Export
from mooring.engine.lineage import ZERO_ORIGIN
from mooring.model.errors import (
    EngineError,
    LineageLostError,
    PointNotFoundError,
)
from mooring.model.extents import BLOCK_SIZE, Extent
from tests.engine.harness import (
    MIB,
    Harness,
    attached,
    content,
    new_id,
    noise,
)

SIZE = 8 * MIB


def test_frozen_point_keeps_its_content(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    before = noise(1, MIB)
    client.write(MIB, before)
    point = new_id()

    freeze = harness.engine.freeze({export.disk_id: point})
    client.write(MIB, noise(2, MIB))
    client.write(5 * MIB, noise(3, MIB))

    assert freeze.pause_seconds >= 0
    image = harness.engine.open_point(export.disk_id, point)
    assert image.size == SIZE
    assert image.read(MIB, MIB) == before
    assert content(image) == bytes(MIB) + before + bytes(6 * MIB)
    assert list(image.extents()) == [Extent(MIB, MIB)]
    image.close()
    assert client.read(MIB, MIB) == noise(2, MIB)


def test_changes_are_what_was_written_since(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    first, second, third = new_id(), new_id(), new_id()
    client.write(0, noise(1, MIB))
    harness.engine.freeze({disk: first})
    client.write(2 * MIB, noise(2, BLOCK_SIZE))
    client.write_zeroes(16 * BLOCK_SIZE, 2 * BLOCK_SIZE)
    harness.engine.freeze({disk: second})
    client.write(17 * BLOCK_SIZE, noise(3, BLOCK_SIZE))
    harness.engine.freeze({disk: third})

    image = harness.engine.open_point(disk, third)
    assert list(image.changes(third)) == []
    assert list(image.changes(second)) == [Extent(17 * BLOCK_SIZE, BLOCK_SIZE)]
    assert list(image.changes(first)) == [
        Extent(16 * BLOCK_SIZE, BLOCK_SIZE, zero=True),
        Extent(17 * BLOCK_SIZE, BLOCK_SIZE),
        Extent(2 * MIB, BLOCK_SIZE),
    ]
    assert list(image.changes(ZERO_ORIGIN)) == [
        Extent(0, 16 * BLOCK_SIZE),
        Extent(16 * BLOCK_SIZE, BLOCK_SIZE, zero=True),
        Extent(17 * BLOCK_SIZE, MIB - 17 * BLOCK_SIZE),
        Extent(2 * MIB, BLOCK_SIZE),
    ]
    image.close()
    earlier = harness.engine.open_point(disk, second)
    with pytest.raises(LineageLostError):
        list(earlier.changes(third))
    earlier.close()


def test_unknown_point(harness: Harness) -> None:
    _, export = attached(harness, SIZE)
    point = new_id()
    harness.engine.freeze({export.disk_id: point})
    image = harness.engine.open_point(export.disk_id, point)

    with pytest.raises(LineageLostError):
        list(image.changes(new_id()))
    with pytest.raises(PointNotFoundError):
        harness.engine.open_point(export.disk_id, new_id())
    image.close()


def test_freeze_again_is_done(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    point = new_id()
    harness.engine.freeze({export.disk_id: point})
    client.write(0, noise(1, MIB))

    harness.engine.freeze({export.disk_id: point})

    image = harness.engine.open_point(export.disk_id, point)
    assert content(image) == bytes(SIZE)
    image.close()
    assert harness.engine.points(export.disk_id) == [point]


def test_detached_disk_is_frozen_too(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    client.close()
    harness.engine.detach(instance, export.disk_id)
    first, second = new_id(), new_id()

    harness.engine.freeze({export.disk_id: first})
    harness.engine.freeze({export.disk_id: second})

    image = harness.engine.open_point(export.disk_id, second)
    assert content(image)[:MIB] == noise(1, MIB)
    assert list(image.changes(first)) == []
    image.close()
    harness.engine.attach(instance, export)
    assert harness.client(instance, export).read(0, MIB) == noise(1, MIB)


def test_disks_of_an_instance_are_frozen_at_one_instant(harness: Harness) -> None:
    instance = new_id()
    exports = [Export(new_id(), f"disk-{n}") for n in range(4)]
    for export in exports:
        harness.engine.create(export.disk_id, SIZE)
        harness.engine.attach(instance, export)
    clients = [harness.client(instance, export) for export in exports]
    stop = threading.Event()

    def count() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for client in clients:
                client.write(0, number.to_bytes(BLOCK_SIZE, "big"))

    writer = threading.Thread(target=count)
    writer.start()
    try:
        rounds = []
        for _ in range(5):
            points = {export.disk_id: new_id() for export in exports}
            harness.engine.freeze(points)
            rounds.append(points)
    finally:
        stop.set()
        writer.join()

    for points in rounds:
        numbers = []
        for disk, point in points.items():
            image = harness.engine.open_point(disk, point)
            numbers.append(int.from_bytes(image.read(0, BLOCK_SIZE), "big"))
            image.close()
        # The writer goes from disk to disk, so none can be ahead of one before it.
        assert numbers == sorted(numbers, reverse=True)
        assert numbers[0] - numbers[-1] <= 1


def test_disks_of_two_instances_are_not_frozen_together(harness: Harness) -> None:
    _, one = attached(harness, SIZE)
    _, other = attached(harness, SIZE)

    with pytest.raises(EngineError, match="one instance"):
        harness.engine.freeze({one.disk_id: new_id(), other.disk_id: new_id()})
    assert harness.engine.points(one.disk_id) == []
