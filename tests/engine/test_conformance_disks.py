"""What every engine promises of disks: made, cloned, deleted."""

from __future__ import annotations

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import (
    EngineError,
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

    with pytest.raises(EngineError, match="already exists"):
        harness.engine.create(disk, 2 * SIZE)


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


def test_description_is_kept_as_long_as_the_disk(harness: Harness) -> None:
    disk, other = new_id(), new_id()
    harness.engine.create(disk, SIZE)
    harness.engine.create(other, SIZE)
    harness.engine.describe(disk, b"first")
    harness.engine.describe(disk, b"second")
    # A cluster is shared with tests before, whose disks may be there.
    told = harness.engine.descriptions()
    assert (told.get(disk), told.get(other)) == (b"second", None)
    assert harness.engine.description(disk) == b"second"
    assert harness.engine.description(other) is None
    assert {disk, other} <= set(harness.engine.disks())
    assert harness.engine.health(disk).ok

    harness.engine.delete(disk)
    assert disk not in harness.engine.descriptions()
    assert disk not in harness.engine.disks()
    assert harness.engine.description(disk) is None
    with pytest.raises(EngineError):
        harness.engine.describe(disk, b"third")
    assert disk not in harness.engine.descriptions()


def test_a_disk_takes_what_was_written_to_it_and_one_that_is_gone_nothing(harness: Harness) -> None:
    instance, export = attached(harness, SIZE)
    before = harness.engine.taken(export.disk_id)
    client = harness.client(instance, export)
    client.write(0, noise(1, MIB))
    client.flush()

    after = harness.engine.taken(export.disk_id)
    if before is None or after is None:
        return  # nobody knows where the layers lie
    assert MIB <= after - before < 2 * MIB
    harness.engine.stop(instance)
    harness.engine.delete(export.disk_id)
    assert harness.engine.taken(export.disk_id) == 0
    assert harness.engine.taken(new_id()) == 0


def test_an_engine_that_works_has_no_problem(harness: Harness) -> None:
    assert harness.engine.problem() is None
