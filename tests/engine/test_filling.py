"""New disks that are usable before they are filled: what every engine promises."""

from __future__ import annotations

import threading

import pytest

from mooring.engine.interface import Export, Filling, Source
from mooring.engine.qemu import forking
from mooring.host.pace import Rests
from mooring.model.clock import SystemClock
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE, Extent
from tests.engine.harness import (
    MIB,
    BytesImage,
    Harness,
    QemuHarness,
    check_extents,
    content,
    new_id,
    noise,
)

SIZE = 24 * MIB
WHOLE = noise(1, 6 * MIB) + bytes(4 * MIB) + noise(2, 6 * MIB)
EXTENTS = [Extent(0, 6 * MIB), Extent(6 * MIB, 4 * MIB, zero=True), Extent(10 * MIB, 6 * MIB)]
PADDED = WHOLE + bytes(SIZE - len(WHOLE))


class GivenUpError(Exception):
    pass


@pytest.fixture
def image() -> BytesImage:
    return BytesImage(WHOLE, EXTENTS)


@pytest.fixture
def source(harness: Harness, image: BytesImage) -> Source:
    return harness.source(image, new_id())


def lazy(harness: Harness, source: Source) -> tuple[str, Export]:
    """A disk on the source, attached: the instance's id and the export."""
    export, instance = Export(new_id(), "lazy"), new_id()
    harness.engine.begin_clone(export.disk_id, SIZE, source)
    harness.engine.attach(instance, export)
    return instance, export


def test_new_disk_has_the_content_at_once(harness: Harness, source: Source) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)

    filling = harness.engine.filling(export.disk_id)
    assert filling is not None
    assert (filling.done, filling.total) == (0, len(WHOLE))
    assert harness.engine.points(export.disk_id) == [source.snapshot_id]
    assert harness.engine.health(export.disk_id).ok
    assert client.read(0, SIZE) == PADDED
    client.write(MIB, noise(3, MIB))
    client.write_zeroes(11 * MIB, MIB)
    expected = bytearray(PADDED)
    expected[MIB : 2 * MIB] = noise(3, MIB)
    expected[11 * MIB : 12 * MIB] = bytes(MIB)
    assert client.read(0, SIZE) == expected


def test_begin_again_is_done(harness: Harness, source: Source) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    client.write(0, noise(3, MIB))

    harness.engine.begin_clone(export.disk_id, SIZE, source)

    assert client.read(0, MIB) == noise(3, MIB)
    with pytest.raises(EngineError, match="already exists"):
        harness.engine.begin_clone(export.disk_id, 2 * SIZE, source)
    with pytest.raises(EngineError, match="cannot hold"):
        harness.engine.begin_clone(new_id(), MIB, source)


def test_filled_disk_stands_by_itself(harness: Harness, source: Source, image: BytesImage) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    client.write(MIB, noise(3, MIB))
    told: list[Filling] = []

    harness.engine.fill(export.disk_id, image, told.append)
    harness.engine.fill(export.disk_id, image)

    done = [one.done for one in told]
    assert done == sorted(done)
    assert told[-1] == Filling(len(WHOLE), len(WHOLE))
    assert harness.engine.filling(export.disk_id) is None
    harness.take_away(source)
    expected = PADDED[:MIB] + noise(3, MIB) + PADDED[2 * MIB :]
    assert client.read(0, SIZE) == expected
    client.close()
    harness.engine.detach(instance, export.disk_id, force=True)
    harness.engine.attach(instance, export)
    assert harness.client(instance, export).read(0, SIZE) == expected


def test_disk_is_used_while_it_is_filled(
    harness: Harness, source: Source, image: BytesImage
) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    expected = bytearray(PADDED)
    failures: list[BaseException] = []
    done = threading.Event()

    def use() -> None:
        try:
            step = 0
            while not done.is_set() or step < 50:
                place = (step * 37 % (SIZE // BLOCK_SIZE)) * BLOCK_SIZE
                client.write(place, noise(step, BLOCK_SIZE))
                expected[place : place + BLOCK_SIZE] = noise(step, BLOCK_SIZE)
                other = (step * 101 % (SIZE // BLOCK_SIZE)) * BLOCK_SIZE
                found = client.read(other, BLOCK_SIZE)
                assert found == expected[other : other + BLOCK_SIZE]
                step += 1
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    user = threading.Thread(target=use)
    user.start()
    try:
        harness.engine.fill(export.disk_id, image)
    finally:
        done.set()
        user.join()

    assert not failures
    assert client.read(0, SIZE) == expected


def test_filling_goes_on_where_it_was(harness: Harness, source: Source, image: BytesImage) -> None:
    instance, export = lazy(harness, source)

    def give_up(told: Filling) -> None:
        raise GivenUpError

    with pytest.raises(GivenUpError):
        harness.engine.fill(export.disk_id, image, give_up)

    assert harness.engine.filling(export.disk_id) is not None
    assert harness.client(instance, export).read(0, SIZE) == PADDED
    harness.engine.fill(export.disk_id, image)
    assert harness.engine.filling(export.disk_id) is None
    harness.take_away(source)
    assert harness.client(instance, export).read(0, SIZE) == PADDED


def test_detached_disk_is_filled_too(harness: Harness, source: Source, image: BytesImage) -> None:
    instance, export = lazy(harness, source)
    harness.engine.detach(instance, export.disk_id)
    assert harness.engine.filling(export.disk_id) is not None

    harness.engine.fill(export.disk_id, image)
    harness.take_away(source)

    harness.engine.attach(instance, export)
    assert harness.client(instance, export).read(0, SIZE) == PADDED


def test_frozen_points_of_a_disk_being_filled(
    harness: Harness, source: Source, image: BytesImage
) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    client.write(MIB, noise(3, BLOCK_SIZE))
    client.write_zeroes(12 * MIB, MIB)
    client.flush()
    first, second = new_id(), new_id()
    harness.engine.freeze({export.disk_id: first})
    client.write(20 * MIB, noise(4, BLOCK_SIZE))
    client.flush()
    harness.engine.freeze({export.disk_id: second})
    expected = bytearray(PADDED)
    expected[MIB : MIB + BLOCK_SIZE] = noise(3, BLOCK_SIZE)
    expected[12 * MIB : 13 * MIB] = bytes(MIB)

    early = harness.engine.open_point(export.disk_id, first)
    later = harness.engine.open_point(export.disk_id, second)
    # What came from the source and was left alone is no change.
    assert list(early.changes(source.snapshot_id)) == [
        Extent(MIB, BLOCK_SIZE),
        Extent(12 * MIB, MIB, zero=True),
    ]
    assert list(later.changes(first)) == [Extent(20 * MIB, BLOCK_SIZE)]
    check_extents(list(early.extents()), SIZE)
    assert content(early) == expected

    harness.engine.release(export.disk_id, first, stored=True)
    harness.engine.fill(export.disk_id, image)
    harness.take_away(source)

    assert content(early) == expected
    early.close()
    expected[20 * MIB : 20 * MIB + BLOCK_SIZE] = noise(4, BLOCK_SIZE)
    assert content(later) == expected
    later.close()
    harness.engine.release(export.disk_id, second, stored=True)
    assert harness.engine.settle()
    assert client.read(0, SIZE) == expected
    assert harness.engine.points(export.disk_id) == [second]


def test_layers_do_not_pile_up_while_filling(
    harness: Harness, source: Source, image: BytesImage
) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    expected = bytearray(PADDED)
    for number in range(14):
        place = number * MIB
        client.write(place, noise(number, BLOCK_SIZE))
        expected[place : place + BLOCK_SIZE] = noise(number, BLOCK_SIZE)
        point = new_id()
        harness.engine.freeze({export.disk_id: point})
        harness.engine.release(export.disk_id, point, stored=True)
        assert harness.engine.settle()

    assert harness.engine.health(export.disk_id).layers <= 10
    assert client.read(0, SIZE) == expected
    harness.engine.fill(export.disk_id, image)
    assert harness.engine.settle()
    assert harness.engine.health(export.disk_id).layers == 2
    harness.take_away(source)
    assert client.read(0, SIZE) == expected


def test_restarted_server_goes_on_filling(
    harness: Harness, source: Source, image: BytesImage
) -> None:
    instance, export = lazy(harness, source)
    client = harness.client(instance, export)
    client.write(0, noise(3, MIB))

    harness.restart()
    harness.engine.adopt({instance: [export]})

    assert client.read(0, SIZE) == noise(3, MIB) + PADDED[MIB:]
    harness.engine.fill(export.disk_id, image)
    harness.take_away(source)
    assert client.read(0, SIZE) == noise(3, MIB) + PADDED[MIB:]


def test_disk_being_filled_can_be_deleted(
    harness: Harness, source: Source, image: BytesImage
) -> None:
    disk_id = new_id()
    harness.engine.begin_clone(disk_id, SIZE, source)

    def delete(told: Filling) -> None:
        harness.engine.delete(disk_id)

    with pytest.raises(EngineError):
        harness.engine.fill(disk_id, image, delete)

    assert harness.engine.filling(disk_id) is None
    assert not harness.engine.health(disk_id).ok
    harness.engine.create(disk_id, SIZE)
    assert harness.engine.health(disk_id).ok


@pytest.mark.parametrize("copied", [0, 1], ids=["nothing copied", "a layer copied"])
def test_a_fork_in_use_is_filled_before_it_stands_alone(harness: Harness, copied: int) -> None:
    image = BytesImage(noise(1, MIB))
    source = harness.source(image, new_id())
    export, instance = Export(new_id(), "clone"), new_id()
    harness.engine.begin_clone(export.disk_id, SIZE, source)
    harness.engine.attach(instance, export)
    client = harness.client(instance, export)
    client.write(MIB, noise(2, MIB))
    harness.engine.freeze({export.disk_id: new_id()})
    client.write(2 * MIB, noise(3, MIB))
    point, made = new_id(), Export(new_id(), "fork")
    harness.engine.freeze({export.disk_id: point})
    harness.engine.fork(export.disk_id, point, made.disk_id)
    other = new_id()
    harness.engine.attach(other, made)
    if copied and isinstance(harness, QemuHarness):
        layers = harness.qemu._registry.disk(made.disk_id).layers
        for layer in layers.shared()[:copied]:
            forking._copy(layers, layer, lambda _: None, Rests(SystemClock()))

    harness.engine.fill(made.disk_id, image)
    harness.take_away(source)

    expected = noise(1, MIB) + noise(2, MIB) + noise(3, MIB)
    assert harness.client(other, made).read(0, 3 * MIB) == expected
    harness.engine.stand_alone(made.disk_id)
    assert harness.client(other, made).read(0, 3 * MIB) == expected
    assert harness.engine.settle()
    assert harness.engine.health(made.disk_id).ok
