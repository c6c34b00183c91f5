"""What every engine promises."""

from __future__ import annotations

import random
import threading

import pytest

from mooring.engine.interface import Export
from mooring.engine.lineage import ZERO_ORIGIN
from mooring.model.errors import (
    DiskBusyError,
    EngineError,
    LineageLostError,
    PointNotFoundError,
)
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


def test_new_disk_is_zeros(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)

    assert client.read(0, MIB) == bytes(MIB)
    assert client.read(SIZE - BLOCK_SIZE, BLOCK_SIZE) == bytes(BLOCK_SIZE)


def test_create_again_is_done(harness: Harness) -> None:
    disk = new_id()
    harness.engine.create(disk, SIZE)
    harness.engine.create(disk, SIZE)

    with pytest.raises(EngineError, match="exists already"):
        harness.engine.create(disk, 2 * SIZE)


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


def test_clone_has_the_source_and_zeros_after_it(harness: Harness) -> None:
    whole = noise(1, MIB) + bytes(MIB) + noise(2, MIB)
    source = BytesImage(whole, [Extent(0, MIB), Extent(MIB, MIB, zero=True), Extent(2 * MIB, MIB)])
    origin, point = new_id(), new_id()
    export, instance = Export(new_id(), "clone"), new_id()
    told: list[int] = []

    harness.engine.clone(export.disk_id, SIZE, source, origin, told.append)
    harness.engine.clone(export.disk_id, SIZE, source, origin)
    harness.engine.attach(instance, export)

    assert told == sorted(told)
    assert told[-1] == 2 * MIB
    assert harness.engine.points(export.disk_id) == [origin]
    client = harness.client(instance, export)
    assert client.read(0, SIZE) == whole + bytes(SIZE - len(whole))
    client.write(MIB, noise(3, BLOCK_SIZE))
    harness.engine.freeze({export.disk_id: point})
    image = harness.engine.open_point(export.disk_id, point)
    assert list(image.changes(origin)) == [Extent(MIB, BLOCK_SIZE)]
    check_extents(list(image.extents()), SIZE)
    assert content(image)[: 3 * MIB] == client.read(0, 3 * MIB)
    image.close()


def test_clone_given_up_leaves_nothing(harness: Harness) -> None:
    class GivenUpError(Exception):
        pass

    def give_up(done: int) -> None:
        raise GivenUpError

    disk = new_id()
    with pytest.raises(GivenUpError):
        harness.engine.clone(disk, SIZE, BytesImage(noise(1, MIB)), new_id(), give_up)

    assert not harness.engine.health(disk).ok
    harness.engine.create(disk, SIZE)
    assert harness.engine.health(disk).ok


def test_clone_of_a_larger_source_is_refused(harness: Harness) -> None:
    with pytest.raises(EngineError, match="cannot hold"):
        harness.engine.clone(new_id(), MIB, BytesImage(bytes(2 * MIB)), new_id())


def test_clone_of_a_frozen_point(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(MIB, noise(1, MIB))
    point, copy = new_id(), Export(new_id(), "copy")
    harness.engine.freeze({export.disk_id: point})
    image = harness.engine.open_point(export.disk_id, point)

    harness.engine.clone(copy.disk_id, 2 * SIZE, image, point)
    image.close()
    harness.engine.attach(instance, copy)

    copied = harness.client(instance, copy).read(0, 2 * SIZE)
    assert copied == bytes(MIB) + noise(1, MIB) + bytes(2 * SIZE - 2 * MIB)


def test_delete(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    with pytest.raises(EngineError, match="attached"):
        harness.engine.delete(export.disk_id)

    harness.engine.detach(instance, export.disk_id)
    harness.engine.delete(export.disk_id)
    harness.engine.delete(export.disk_id)

    assert not harness.engine.health(export.disk_id).ok
    with pytest.raises(EngineError, match="not exist"):
        harness.engine.attach(instance, export)


def test_what_does_not_exist_is_named(harness: Harness) -> None:
    disk = new_id()

    with pytest.raises(EngineError, match=disk):
        harness.engine.freeze({disk: new_id()})
    with pytest.raises(EngineError, match=disk):
        harness.engine.points(disk)
    with pytest.raises(EngineError, match=disk):
        harness.engine.open_point(disk, new_id())
    assert disk in harness.engine.health(disk).problem


def test_detach_is_refused_while_a_client_is_connected(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))

    with pytest.raises(DiskBusyError, match=export.disk_id):
        harness.engine.detach(instance, export.disk_id)
    assert client.read(0, MIB) == noise(1, MIB)
    harness.engine.detach(instance, export.disk_id, force=True)
    harness.engine.detach(instance, export.disk_id)

    other = new_id()
    harness.engine.attach(other, export)
    assert harness.client(other, export).read(0, MIB) == noise(1, MIB)


def test_attach_is_exclusive_and_repeatable(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)

    harness.engine.attach(instance, export)
    with pytest.raises(EngineError, match=instance):
        harness.engine.attach(new_id(), export)
    with pytest.raises(EngineError):
        harness.engine.attach(instance, Export(export.disk_id, "other-name"))
    second = Export(new_id(), export.name)
    harness.engine.create(second.disk_id, SIZE)
    with pytest.raises(EngineError, match=export.name):
        harness.engine.attach(instance, second)

    assert harness.engine.health(export.disk_id).ok
    assert harness.engine.health(second.disk_id).ok


def test_stop_and_start_keep_the_content(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    point = new_id()

    harness.engine.stop(instance)
    harness.engine.stop(instance)
    harness.engine.freeze({export.disk_id: point})
    harness.engine.attach(instance, export)

    assert harness.client(instance, export).read(0, MIB) == noise(1, MIB)
    image = harness.engine.open_point(export.disk_id, point)
    assert image.read(0, MIB) == noise(1, MIB)
    image.close()


def test_adopted_disks_go_on(harness: Harness) -> None:
    instance, kept = attached(harness, SIZE)
    unwanted, missing = Export(new_id(), "unwanted"), Export(new_id(), "missing")
    for export in (unwanted, missing):
        harness.engine.create(export.disk_id, SIZE)
    harness.engine.attach(instance, unwanted)
    stray_instance, stray = attached(harness, SIZE)
    client = harness.client(instance, kept)
    client.write(0, noise(1, MIB))
    points = [new_id(), new_id()]
    harness.engine.freeze({kept.disk_id: points[0]})
    client.write(MIB, noise(2, MIB))

    harness.restart()
    harness.engine.adopt({instance: [kept, missing], new_id(): []})

    assert client.read(0, MIB) == noise(1, MIB)
    harness.engine.freeze({kept.disk_id: points[1]})
    assert harness.engine.points(kept.disk_id) == points
    image = harness.engine.open_point(kept.disk_id, points[1])
    assert list(image.changes(points[0])) == [Extent(MIB, MIB)]
    image.close()
    assert harness.client(instance, missing).read(0, MIB) == bytes(MIB)
    harness.engine.attach(stray_instance, unwanted)
    harness.engine.delete(stray.disk_id)
    for point in points:
        harness.engine.release(kept.disk_id, point, stored=True)
    assert harness.engine.settle()
    assert harness.engine.health(kept.disk_id).layers == 2


def test_uri_is_known_before_attaching(harness: Harness) -> None:
    uri = harness.engine.uri(new_id(), "a disk/with:odd name")

    assert uri.startswith("nbd+unix:///a%20disk%2Fwith%3Aodd%20name?socket=/")
