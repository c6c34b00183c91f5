"""What every engine promises of forks: usable at once, whole, and independent of each other."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.engine.interface import Export, Filling
from mooring.engine.lineage import SHORT_CHAIN
from mooring.model.errors import EngineError, PointNotFoundError
from mooring.model.extents import BLOCK_SIZE, Extent
from tests.engine.forks import SIZE, engine_on, fork, read, shared
from tests.engine.harness import (
    MIB,
    BytesImage,
    Harness,
    MemoryHarness,
    attached,
    content,
    new_id,
    noise,
)


@pytest.fixture(
    params=[
        "memory",
        pytest.param("links", marks=pytest.mark.full),
        pytest.param("reflinks", marks=pytest.mark.full),
    ]
)
def harness(request: pytest.FixtureRequest, run_dir: Path, tmp_path: Path) -> Iterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
        return
    kind = {"links": "ext4", "reflinks": "xfs"}[request.param]
    with engine_on(kind, run_dir, tmp_path) as harness:
        yield harness


def test_a_fork_holds_what_the_disk_held_at_that_instant(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))

    _, made = fork(harness, export.disk_id)
    client.write(0, noise(2, MIB))

    assert read(harness, made) == noise(1, MIB) + bytes(SIZE - MIB)
    assert client.read(0, MIB) == noise(2, MIB)


def test_both_are_written_and_neither_sees_the_other(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, 2 * MIB))
    _, made = fork(harness, export.disk_id)
    other = new_id()
    harness.engine.attach(other, made)
    second = harness.client(other, made)

    second.write(MIB, noise(3, MIB))
    client.write(0, noise(2, MIB))
    harness.engine.stand_alone(made.disk_id)
    second.write_zeroes(2 * MIB, MIB)

    assert second.read(0, 3 * MIB) == noise(1, MIB) + noise(3, MIB) + bytes(MIB)
    assert client.read(0, 2 * MIB) == noise(2, MIB) + noise(1, 2 * MIB)[MIB:]
    assert harness.engine.settle()
    assert second.read(0, 3 * MIB) == noise(1, MIB) + noise(3, MIB) + bytes(MIB)


def test_it_stands_alone_once_it_is_told_to(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    harness.client(instance, export).write(0, noise(1, 2 * MIB))
    _, made = fork(harness, export.disk_id)
    told: list[Filling] = []

    harness.engine.stand_alone(made.disk_id, told.append)
    harness.engine.stand_alone(made.disk_id)

    assert harness.engine.filling(made.disk_id) is None
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert read(harness, made, 2 * MIB) == noise(1, 2 * MIB)
    assert harness.engine.health(made.disk_id).ok


def test_the_disk_may_be_deleted_before_the_fork_stands_alone(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    harness.client(instance, export).write(0, noise(1, MIB))
    _, made = fork(harness, export.disk_id)

    harness.engine.detach(instance, export.disk_id, force=True)
    harness.engine.delete(export.disk_id)

    assert read(harness, made, MIB) == noise(1, MIB)
    harness.restart()
    harness.engine.adopt({})
    harness.engine.stand_alone(made.disk_id)
    assert read(harness, made, MIB) == noise(1, MIB)


def test_the_fork_may_be_deleted_before_it_stands_alone(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    point, made = fork(harness, export.disk_id)

    harness.engine.delete(made.disk_id)

    later = new_id()
    harness.engine.freeze({export.disk_id: later})
    harness.engine.release(export.disk_id, later, stored=True)
    assert harness.engine.settle()
    assert point not in harness.engine.points(export.disk_id), "it holds up merges still"
    assert client.read(0, MIB) == noise(1, MIB)
    assert not harness.engine.health(made.disk_id).ok


def test_changes_of_a_fork_are_counted_from_the_points_of_the_disk(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    stored = new_id()
    harness.engine.freeze({export.disk_id: stored})
    client.write(MIB, noise(2, BLOCK_SIZE))
    _, made = fork(harness, export.disk_id)
    harness.engine.stand_alone(made.disk_id)
    other, point = new_id(), new_id()
    harness.engine.attach(other, made)
    harness.client(other, made).write(2 * MIB, noise(3, BLOCK_SIZE))

    harness.engine.freeze({made.disk_id: point})

    image = harness.engine.open_point(made.disk_id, point)
    try:
        assert list(image.changes(stored)) == [
            Extent(MIB, BLOCK_SIZE),
            Extent(2 * MIB, BLOCK_SIZE),
        ]
        assert content(image)[: 2 * MIB] == (
            noise(1, MIB) + noise(2, BLOCK_SIZE) + bytes(MIB - BLOCK_SIZE)
        )
    finally:
        image.close()


def test_a_fork_of_a_fork_that_does_not_stand_alone(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    harness.client(instance, export).write(0, noise(1, MIB))
    _, first = fork(harness, export.disk_id)
    other = new_id()
    harness.engine.attach(other, first)
    harness.client(other, first).write(MIB, noise(2, MIB))
    _, second = fork(harness, first.disk_id)

    harness.engine.stand_alone(first.disk_id)
    harness.engine.detach(other, first.disk_id, force=True)
    harness.engine.delete(first.disk_id)
    harness.engine.stand_alone(second.disk_id)

    assert read(harness, second, 2 * MIB) == noise(1, MIB) + noise(2, MIB)


def test_a_fork_of_a_disk_that_is_being_filled(harness: Harness) -> None:
    origin = new_id()
    source = harness.source(BytesImage(noise(1, MIB)), origin)
    export, instance = Export(new_id(), "clone"), new_id()
    harness.engine.begin_clone(export.disk_id, SIZE, source)
    harness.engine.attach(instance, export)
    harness.client(instance, export).write(MIB, noise(2, MIB))

    _, made = fork(harness, export.disk_id)

    assert read(harness, made, 2 * MIB) == noise(1, MIB) + noise(2, MIB)
    harness.engine.stand_alone(made.disk_id)
    harness.engine.fill(made.disk_id, BytesImage(noise(1, MIB)))
    harness.engine.fill(export.disk_id, BytesImage(noise(1, MIB)))
    harness.take_away(source)
    assert harness.engine.filling(made.disk_id) is None
    assert read(harness, made, 2 * MIB) == noise(1, MIB) + noise(2, MIB)


LARGER = SIZE + 16 * MIB


def test_a_fork_may_be_larger(harness: Harness) -> None:
    """It has zeros after what the disk held, whatever is merged in either afterwards."""
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(SIZE - MIB, noise(1, MIB))
    stored, made, point = new_id(), Export(new_id(), "fork"), new_id()
    harness.engine.freeze({export.disk_id: stored})
    harness.engine.freeze({export.disk_id: point})

    assert harness.engine.fork(export.disk_id, point, made.disk_id, LARGER) == LARGER
    assert harness.engine.fork(export.disk_id, point, made.disk_id, LARGER) == LARGER
    harness.engine.release(export.disk_id, point, stored=False)
    harness.engine.release(export.disk_id, stored, stored=True)
    other = new_id()
    harness.engine.attach(other, made)
    second = harness.client(other, made)
    assert second.read(SIZE - MIB, 2 * MIB) == noise(1, MIB) + bytes(MIB)
    second.write(LARGER - MIB, noise(2, MIB))
    own = new_id()
    harness.engine.freeze({made.disk_id: own})

    image = harness.engine.open_point(made.disk_id, own)
    assert image.size == LARGER
    assert list(image.changes(stored)) == [Extent(LARGER - MIB, MIB)]
    image.close()
    harness.engine.stand_alone(made.disk_id)
    for one in harness.engine.points(made.disk_id):
        harness.engine.release(made.disk_id, one, stored=True)
    assert harness.engine.settle()
    whole = bytes(SIZE - MIB) + noise(1, MIB) + bytes(LARGER - SIZE - MIB) + noise(2, MIB)
    assert second.read(0, LARGER) == whole
    assert client.read(SIZE - MIB, MIB) == noise(1, MIB)
    assert harness.engine.health(made.disk_id).layers <= 3


def test_a_fork_is_never_smaller_than_the_disk(harness: Harness) -> None:
    _, export = attached(harness, SIZE)
    point, made = new_id(), new_id()
    harness.engine.freeze({export.disk_id: point})

    assert harness.engine.fork(export.disk_id, point, made, SIZE - MIB) == SIZE


def test_a_fork_that_is_there_already_is_done(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    point, made = fork(harness, export.disk_id)
    client.write(0, noise(2, MIB))

    harness.engine.fork(export.disk_id, point, made.disk_id)

    assert read(harness, made, MIB) == noise(1, MIB)


def test_there_is_no_fork_of_a_point_that_was_released(harness: Harness) -> None:
    """What lies above it may be half merged into what lies below."""
    _, export = attached(harness, SIZE)
    point, made = new_id(), new_id()
    harness.engine.freeze({export.disk_id: point})
    harness.engine.release(export.disk_id, point, stored=True)

    with pytest.raises(PointNotFoundError):
        harness.engine.fork(export.disk_id, point, made)
    assert made not in harness.engine.disks()


def test_there_is_no_fork_of_what_is_not_there(harness: Harness) -> None:
    _, export = attached(harness, SIZE)
    made = new_id()

    with pytest.raises(PointNotFoundError):
        harness.engine.fork(export.disk_id, new_id(), made)
    with pytest.raises(EngineError, match="does not exist"):
        harness.engine.fork(new_id(), new_id(), made)
    assert not harness.engine.health(made).ok


def test_snapshots_and_merges_go_on_in_both_while_they_share(harness: Harness) -> None:
    """Content is compared whole after each round; a chain of layers does not grow for ever."""
    chance = random.Random(7)
    instance, export = attached(harness, SIZE)
    sides = {export.disk_id: harness.client(instance, export)}
    model = {export.disk_id: bytearray(SIZE)}

    def write(disk: str) -> None:
        for _ in range(20):
            offset = chance.randrange(SIZE // BLOCK_SIZE) * BLOCK_SIZE
            data = chance.randbytes(BLOCK_SIZE)
            sides[disk].write(offset, data)
            model[disk][offset : offset + BLOCK_SIZE] = data

    def snapshot(disk: str) -> None:
        point = new_id()
        harness.engine.freeze({disk: point})
        harness.engine.release(disk, point, stored=chance.random() < 0.7)

    write(export.disk_id)
    snapshot(export.disk_id)
    write(export.disk_id)
    _, made = fork(harness, export.disk_id)
    other = new_id()
    harness.engine.attach(other, made)
    sides[made.disk_id] = harness.client(other, made)
    model[made.disk_id] = bytearray(model[export.disk_id])
    for turn in range(2 * SHORT_CHAIN):
        for disk in sides:
            write(disk)
            snapshot(disk)
        if turn == SHORT_CHAIN:
            harness.engine.stand_alone(made.disk_id)
            for point in harness.engine.points(made.disk_id):
                harness.engine.release(made.disk_id, point, stored=False)
        for disk, client in sides.items():
            assert client.read(0, SIZE) == bytes(model[disk]), turn

    assert harness.engine.settle(60)
    for disk, client in sides.items():
        assert client.read(0, SIZE) == bytes(model[disk])
        assert harness.engine.health(disk).layers <= SHORT_CHAIN + 3


class GivenUpError(Exception):
    """Ends the copying as a kill would."""


@pytest.mark.parametrize("copied", [1, 2, 3])
def test_a_server_killed_while_it_copies(harness: Harness, copied: int) -> None:
    """Whatever was copied when it was killed, the disk is used on, and the next server goes on."""
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    for number in range(3):
        client.write(number * MIB, noise(number, MIB))
        point = new_id()
        harness.engine.freeze({export.disk_id: point})
    _, made = fork(harness, export.disk_id)
    other = new_id()
    harness.engine.attach(other, made)
    second = harness.client(other, made)
    second.write(3 * MIB, noise(3, MIB))
    told = 0

    def give_up(_filling: Filling) -> None:
        nonlocal told
        told += 1
        if told > copied:
            raise GivenUpError

    if shared(harness, made):
        with pytest.raises(GivenUpError):
            harness.engine.stand_alone(made.disk_id, give_up)
    harness.restart()
    harness.engine.adopt({instance: [export], other: [made]})
    second.write(4 * MIB, noise(4, MIB))

    harness.engine.stand_alone(made.disk_id)

    whole = b"".join(noise(number, MIB) for number in range(5))
    assert second.read(0, 5 * MIB) == whole
    assert client.read(0, 3 * MIB) == whole[: 3 * MIB]
    assert not shared(harness, made)


def test_both_are_deleted_while_they_share(harness: Harness) -> None:
    """Nobody goes on looking after the layers of a disk that is not there any more."""
    instance, export = attached(harness, SIZE)
    harness.client(instance, export).write(0, noise(1, MIB))
    _, made = fork(harness, export.disk_id)
    harness.engine.detach(instance, export.disk_id, force=True)

    harness.engine.delete(export.disk_id)
    harness.engine.delete(made.disk_id)

    assert harness.engine.settle(10)
