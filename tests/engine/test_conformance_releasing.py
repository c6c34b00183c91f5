"""What every engine promises of points released, and of what merges after them."""

from __future__ import annotations

import random

import pytest

from mooring.model.errors import (
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


def test_several_points_are_pending_and_released_in_any_order(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    expected: dict[str, bytes] = {}
    whole = bytearray(SIZE)
    for number in range(6):
        data = noise(number, MIB)
        client.write(number * MIB, data)
        whole[number * MIB : (number + 1) * MIB] = data
        point = new_id()
        harness.engine.freeze({disk: point})
        expected[point] = bytes(whole)
    points = list(expected)
    random.Random(5).shuffle(points)

    while points:
        harness.engine.release(disk, points.pop(), stored=True)
        assert harness.engine.settle()
        for point in points:
            image = harness.engine.open_point(disk, point)
            assert content(image) == expected[point]
            image.close()

    assert harness.engine.points(disk) == [list(expected)[-1]]
    assert client.read(0, SIZE) == bytes(whole)
    assert harness.engine.health(disk).layers == 2


def test_changes_are_counted_from_a_stored_point(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    first, second = new_id(), new_id()
    client.write(0, noise(1, MIB))
    harness.engine.freeze({disk: first})
    harness.engine.release(disk, first, stored=True)
    assert harness.engine.settle()
    client.write(3 * MIB, noise(2, BLOCK_SIZE))

    harness.engine.freeze({disk: second})

    assert harness.engine.points(disk) == [first, second]
    with pytest.raises(PointNotFoundError):
        harness.engine.open_point(disk, first)
    image = harness.engine.open_point(disk, second)
    assert list(image.changes(first)) == [Extent(3 * MIB, BLOCK_SIZE)]
    assert content(image)[:MIB] == noise(1, MIB)
    image.close()


def test_changes_go_on_past_a_point_given_up(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    stored, given_up, last = new_id(), new_id(), new_id()
    harness.engine.freeze({disk: stored})
    harness.engine.release(disk, stored, stored=True)
    client.write(0, noise(1, BLOCK_SIZE))
    client.write(MIB, noise(2, BLOCK_SIZE))
    harness.engine.freeze({disk: given_up})
    client.write(MIB, noise(3, BLOCK_SIZE))
    client.write(2 * MIB, noise(4, BLOCK_SIZE))
    harness.engine.freeze({disk: last})

    harness.engine.release(disk, given_up, stored=False)
    assert harness.engine.settle()

    assert harness.engine.points(disk) == [stored, last]
    image = harness.engine.open_point(disk, last)
    assert [extent.offset for extent in image.changes(stored)] == [0, MIB, 2 * MIB]
    assert image.read(MIB, BLOCK_SIZE) == noise(3, BLOCK_SIZE)
    image.close()


def test_points_given_up_do_not_pile_up(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    for number in range(20):
        client.write(number * BLOCK_SIZE, noise(number, BLOCK_SIZE))
        point = new_id()
        harness.engine.freeze({disk: point})
        harness.engine.release(disk, point, stored=False)
        assert harness.engine.settle()

    assert harness.engine.health(disk).layers <= 4
    assert client.read(0, 20 * BLOCK_SIZE) == b"".join(noise(n, BLOCK_SIZE) for n in range(20))


def test_release_can_be_repeated_and_may_name_what_is_gone(harness: Harness) -> None:
    _, export = attached(harness, SIZE)
    point = new_id()
    harness.engine.freeze({export.disk_id: point})

    for _ in range(3):
        harness.engine.release(export.disk_id, point, stored=True)
        assert harness.engine.settle()
    harness.engine.release(export.disk_id, new_id(), stored=False)
    harness.engine.release(new_id(), point, stored=False)

    assert harness.engine.points(export.disk_id) == [point]


def test_open_point_stays_readable_when_released(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    first, second = new_id(), new_id()
    client.write(0, noise(1, MIB))
    harness.engine.freeze({disk: first})
    client.write(0, noise(2, 2 * MIB))
    harness.engine.freeze({disk: second})
    image = harness.engine.open_point(disk, first)

    harness.engine.release(disk, first, stored=False)
    harness.engine.release(disk, second, stored=True)
    harness.engine.settle()

    assert content(image) == noise(1, MIB) + bytes(SIZE - MIB)
    image.close()
    assert harness.engine.settle()
    assert harness.engine.health(disk).layers == 2
    assert client.read(0, 2 * MIB) == noise(2, 2 * MIB)


def test_reader_of_a_later_point_is_not_hurt_by_merges(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    disk = export.disk_id
    client = harness.client(instance, export)
    first, second = new_id(), new_id()
    client.write(0, noise(1, MIB))
    harness.engine.freeze({disk: first})
    client.write(MIB // 2, noise(2, MIB))
    harness.engine.freeze({disk: second})
    client.write(0, noise(3, 2 * MIB))
    image = harness.engine.open_point(disk, second)

    harness.engine.release(disk, first, stored=True)
    assert harness.engine.settle()

    assert list(image.changes(first)) == [Extent(MIB // 2, MIB)]
    expected = noise(1, MIB)[: MIB // 2] + noise(2, MIB)
    assert content(image) == expected + bytes(SIZE - len(expected))
    image.close()
