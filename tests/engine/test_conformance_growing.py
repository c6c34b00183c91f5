"""What every engine promises of growth."""

from __future__ import annotations

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE, Extent
from tests.engine.harness import (
    MIB,
    BytesImage,
    Harness,
    attached,
    check_extents,
    content,
    new_id,
    noise,
)

SIZE = 8 * MIB
LARGER = 24 * MIB


def whole(harness: Harness, disk_id: str) -> bytes:
    """All of the disk, by a point of it."""
    point = new_id()
    harness.engine.freeze({disk_id: point})
    image = harness.engine.open_point(disk_id, point)
    check_extents(list(image.extents()), image.size)
    found = content(image)
    image.close()
    harness.engine.release(disk_id, point, stored=False)
    return found


def test_grown_disk_has_its_content_and_zeros_after_it(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    before = noise(1, MIB)
    client = harness.client(instance, export)
    client.write(SIZE - MIB, before)

    harness.engine.grow(export.disk_id, LARGER)

    client = harness.client(instance, export)
    assert client.read(SIZE - MIB, MIB) == before
    assert client.read(LARGER - MIB, MIB) == bytes(MIB)
    client.write(LARGER - MIB, noise(2, MIB))
    expected = bytes(SIZE - MIB) + before + bytes(LARGER - SIZE - MIB) + noise(2, MIB)
    assert client.read(0, LARGER) == expected
    assert whole(harness, export.disk_id) == expected


def test_growth_again_is_done_and_a_smaller_size_refused(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    harness.engine.grow(export.disk_id, LARGER)
    harness.client(instance, export).write(SIZE, noise(1, MIB))

    harness.engine.grow(export.disk_id, LARGER)
    with pytest.raises(EngineError, match=rf"{LARGER} bytes: it cannot shrink to {SIZE}"):
        harness.engine.grow(export.disk_id, SIZE)
    with pytest.raises(EngineError, match="does not exist"):
        harness.engine.grow(new_id(), SIZE)

    assert harness.client(instance, export).read(SIZE, MIB) == noise(1, MIB)


def test_points_keep_the_size_that_the_disk_had(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    first, second = new_id(), new_id()
    harness.client(instance, export).write(0, noise(1, MIB))
    harness.engine.freeze({export.disk_id: first})

    harness.engine.grow(export.disk_id, LARGER)
    harness.client(instance, export).write(LARGER - BLOCK_SIZE, noise(2, BLOCK_SIZE))
    harness.engine.freeze({export.disk_id: second})

    assert list(harness.engine.points(export.disk_id)) == [first, second]
    before = harness.engine.open_point(export.disk_id, first)
    after = harness.engine.open_point(export.disk_id, second)
    assert (before.size, after.size) == (SIZE, LARGER)
    assert content(before) == noise(1, MIB) + bytes(SIZE - MIB)
    assert content(after)[:SIZE] == content(before)
    assert list(after.changes(first)) == [Extent(LARGER - BLOCK_SIZE, BLOCK_SIZE)]
    before.close()
    after.close()


def test_merges_take_in_growth(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    expected = bytearray(SIZE)
    sizes = [SIZE, SIZE + MIB, LARGER, LARGER + MIB]
    for number, size in enumerate(sizes):
        if size > SIZE:
            harness.engine.grow(export.disk_id, size)
            expected += bytes(size - len(expected))
        client = harness.client(instance, export)
        for offset in (0, number * MIB, size - MIB):
            data = noise(number * 1000 + offset, BLOCK_SIZE)
            client.write(offset, data)
            expected[offset : offset + BLOCK_SIZE] = data
        client.close()
        point = new_id()
        harness.engine.freeze({export.disk_id: point})
        harness.engine.release(export.disk_id, point, stored=number != 1)

    assert harness.engine.settle()

    assert list(harness.engine.points(export.disk_id)) == [point]
    assert harness.client(instance, export).read(0, len(expected)) == bytes(expected)
    assert whole(harness, export.disk_id) == bytes(expected)
    harness.restart()
    harness.engine.adopt({instance: [export]})
    harness.engine.detach(instance, export.disk_id, force=True)
    assert whole(harness, export.disk_id) == bytes(expected)
    assert harness.engine.settle()
    assert harness.engine.health(export.disk_id).ok


def test_growth_without_snapshots_leaves_few_layers(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    for number in range(1, 12):
        harness.engine.grow(export.disk_id, SIZE + number * MIB)
        client = harness.client(instance, export)
        client.write(SIZE + (number - 1) * MIB, noise(number, MIB))
        client.close()
        assert harness.engine.settle()

    assert harness.engine.health(export.disk_id).layers <= 4
    assert harness.client(instance, export).read(SIZE, 11 * MIB) == b"".join(
        noise(number, MIB) for number in range(1, 12)
    )


def test_detached_disk_grows(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    harness.client(instance, export).write(0, noise(1, MIB))
    harness.engine.detach(instance, export.disk_id, force=True)

    harness.engine.grow(export.disk_id, LARGER)

    assert whole(harness, export.disk_id) == noise(1, MIB) + bytes(LARGER - MIB)
    harness.engine.attach(instance, export)
    client = harness.client(instance, export)
    client.write(LARGER - MIB, noise(2, MIB))
    assert client.read(0, MIB) == noise(1, MIB)


def test_disk_grows_while_it_is_filled(harness: Harness) -> None:
    image = BytesImage(noise(1, 2 * MIB))
    source = harness.source(image, new_id())
    export, instance = Export(new_id(), "disk"), new_id()
    harness.engine.begin_clone(export.disk_id, SIZE, source)
    harness.engine.attach(instance, export)

    harness.engine.grow(export.disk_id, LARGER)
    client = harness.client(instance, export)
    client.write(LARGER - MIB, noise(2, MIB))
    expected = noise(1, 2 * MIB) + bytes(LARGER - 3 * MIB) + noise(2, MIB)
    assert client.read(0, LARGER) == expected
    harness.engine.begin_clone(export.disk_id, SIZE, source)  # as a server does that starts again
    harness.engine.fill(export.disk_id, image)
    harness.take_away(source)

    assert client.read(0, LARGER) == expected
    assert whole(harness, export.disk_id) == expected


def test_fork_has_the_size_of_its_point(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    point, fork = new_id(), new_id()
    harness.client(instance, export).write(0, noise(1, MIB))
    harness.engine.freeze({export.disk_id: point})
    harness.engine.grow(export.disk_id, LARGER)

    harness.engine.fork(export.disk_id, point, fork)

    assert whole(harness, fork) == noise(1, MIB) + bytes(SIZE - MIB)
    harness.engine.grow(fork, LARGER)
    assert whole(harness, fork) == noise(1, MIB) + bytes(LARGER - MIB)
