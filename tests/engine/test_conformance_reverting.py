"""What every engine promises of reverts."""

from __future__ import annotations

import pytest

from mooring.engine.interface import Export, Source
from mooring.model.errors import DiskBusyError, EngineError, PointNotFoundError
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
THEN = noise(1, 2 * MIB) + bytes(MIB) + noise(2, MIB)
"""What the snapshot holds; the rest of the disk was zeros."""
NOW = noise(3, 3 * MIB)


def at(harness: Harness, disk_id: str, point: str) -> bytes:
    """All that the disk held at a frozen point."""
    image = harness.engine.open_point(disk_id, point)
    check_extents(list(image.extents()), image.size)
    found = content(image)
    image.close()
    return found


def padded(start: bytes, size: int = SIZE) -> bytes:
    return start + bytes(size - len(start))


def in_use(harness: Harness) -> tuple[str, Export]:
    """An attached disk that holds NOW, and has no client."""
    instance, export = attached(harness, SIZE)
    client = harness.client(instance, export)
    client.write(0, NOW)
    client.close()
    return instance, export


def then(harness: Harness, start: bytes = THEN) -> tuple[Source, BytesImage]:
    image = BytesImage(start)
    return harness.source(image, new_id()), image


@pytest.mark.parametrize("is_attached", [True, False], ids=["attached", "detached"])
def test_disk_holds_the_snapshot_and_keeps_what_it_held(
    harness: Harness, is_attached: bool
) -> None:
    instance, export = in_use(harness)
    if not is_attached:
        harness.engine.detach(instance, export.disk_id)
    source, _ = then(harness)
    kept = new_id()
    uri = harness.engine.uri(instance, export.name)

    harness.engine.revert(export.disk_id, source, kept, size=SIZE)

    if not is_attached:
        harness.engine.attach(instance, export)
    assert harness.engine.uri(instance, export.name) == uri
    client = harness.client(instance, export)
    assert client.read(0, SIZE) == padded(THEN)
    client.write(MIB, noise(4, MIB))
    assert client.read(0, 3 * MIB) == THEN[:MIB] + noise(4, MIB) + bytes(MIB)
    assert at(harness, export.disk_id, kept) == padded(NOW)
    assert harness.engine.health(export.disk_id).ok


def test_next_point_is_counted_from_the_snapshot(harness: Harness) -> None:
    instance, export = in_use(harness)
    source, image = then(harness)
    kept, point = new_id(), new_id()
    harness.engine.revert(export.disk_id, source, kept, size=SIZE)
    client = harness.client(instance, export)
    client.write(5 * MIB, noise(4, BLOCK_SIZE))
    harness.engine.fill(export.disk_id, image, snapshot_id=source.snapshot_id)

    harness.engine.freeze({export.disk_id: point})

    frozen = harness.engine.open_point(export.disk_id, point)
    assert list(frozen.changes(source.snapshot_id)) == [Extent(5 * MIB, BLOCK_SIZE)]
    frozen.close()
    assert list(harness.engine.points(export.disk_id)) == [kept, source.snapshot_id, point]
    before = harness.engine.open_point(export.disk_id, kept)
    assert content(before) == padded(NOW)
    before.close()


def test_points_of_before_stay_until_they_are_released(harness: Harness) -> None:
    instance, export = in_use(harness)
    first, kept = new_id(), new_id()
    harness.engine.freeze({export.disk_id: first})
    client = harness.client(instance, export)
    client.write(6 * MIB, noise(5, MIB))
    client.close()
    source, _ = then(harness)

    harness.engine.revert(export.disk_id, source, kept, size=SIZE)

    past = harness.engine.past(export.disk_id)
    assert past is not None
    assert (past.point, list(past.points)) == (kept, [first, kept])
    assert at(harness, export.disk_id, first) == padded(NOW)
    whole = harness.engine.open_point(export.disk_id, kept)
    assert list(whole.changes(first)) == [Extent(6 * MIB, MIB)]
    harness.engine.release(export.disk_id, first, stored=True)
    harness.engine.release(export.disk_id, kept, stored=True)
    assert harness.engine.settle()
    assert content(whole)[: 3 * MIB] == NOW
    whole.close()
    assert harness.engine.settle()
    assert list(harness.engine.points(export.disk_id)) == [source.snapshot_id]
    past = harness.engine.past(export.disk_id)
    assert past is not None
    assert list(past.points) == []
    with pytest.raises(PointNotFoundError):
        harness.engine.open_point(export.disk_id, kept)
    assert harness.client(instance, export).read(0, SIZE) == padded(THEN)


def test_what_is_given_up_is_gone_and_pending_points_stay(harness: Harness) -> None:
    _, export = in_use(harness)
    pending, given_up = new_id(), new_id()
    harness.engine.freeze({export.disk_id: pending})
    source, _ = then(harness)

    harness.engine.revert(export.disk_id, source, given_up, size=SIZE, keep=False)

    assert at(harness, export.disk_id, pending) == padded(NOW)
    assert given_up not in harness.engine.points(export.disk_id)
    harness.engine.release(export.disk_id, pending, stored=False)
    assert harness.engine.settle()
    assert list(harness.engine.points(export.disk_id)) == [source.snapshot_id]


def test_connected_client_is_in_the_way(harness: Harness) -> None:
    instance, export = in_use(harness)
    client = harness.client(instance, export)
    source, _ = then(harness)

    with pytest.raises(DiskBusyError):
        harness.engine.revert(export.disk_id, source, new_id(), size=SIZE)

    client.write(0, noise(6, MIB))
    assert client.read(0, 3 * MIB) == noise(6, MIB) + NOW[MIB:]
    assert harness.engine.past(export.disk_id) is None


def test_revert_again_with_its_point_is_done(harness: Harness) -> None:
    instance, export = in_use(harness)
    source, _ = then(harness)
    kept = new_id()
    harness.engine.revert(export.disk_id, source, kept, size=SIZE)
    client = harness.client(instance, export)
    client.write(0, noise(4, MIB))

    harness.engine.revert(export.disk_id, source, kept, size=SIZE)

    assert client.read(0, MIB) == noise(4, MIB)
    assert at(harness, export.disk_id, kept) == padded(NOW)


def test_reverting_twice_in_a_row(harness: Harness) -> None:
    instance, export = in_use(harness)
    first, image = then(harness)
    second, other = then(harness, noise(7, MIB))
    points = [new_id(), new_id()]
    harness.engine.revert(export.disk_id, first, points[0], size=SIZE)
    client = harness.client(instance, export)
    client.write(7 * MIB, noise(8, MIB))
    client.close()

    harness.engine.revert(export.disk_id, second, points[1], size=SIZE)

    assert harness.client(instance, export).read(0, SIZE) == padded(noise(7, MIB))
    assert at(harness, export.disk_id, points[0]) == padded(NOW)
    assert at(harness, export.disk_id, points[1]) == THEN + bytes(3 * MIB) + noise(8, MIB)
    with pytest.raises(EngineError, match="is not made from the snapshot"):
        harness.engine.fill(export.disk_id, image, snapshot_id=first.snapshot_id)
    harness.engine.fill(export.disk_id, other, snapshot_id=second.snapshot_id)
    harness.take_away(second)
    assert harness.client(instance, export).read(0, SIZE) == padded(noise(7, MIB))
    assert at(harness, export.disk_id, points[1]) == THEN + bytes(3 * MIB) + noise(8, MIB)
    for point in points:
        harness.engine.release(export.disk_id, point, stored=True)
    assert harness.engine.settle()
    assert list(harness.engine.points(export.disk_id)) == [second.snapshot_id]
    assert harness.engine.health(export.disk_id).ok


def test_back_and_forth(harness: Harness) -> None:
    """To what a revert kept, as whoever regrets it does."""
    instance, export = in_use(harness)
    source, _ = then(harness)
    kept, again = new_id(), new_id()
    harness.engine.revert(export.disk_id, source, kept, size=SIZE)
    stored = BytesImage(at(harness, export.disk_id, kept))
    harness.engine.release(export.disk_id, kept, stored=True)
    back = harness.source(stored, kept)

    harness.engine.revert(export.disk_id, back, again, size=SIZE)

    assert harness.client(instance, export).read(0, SIZE) == padded(NOW)
    assert at(harness, export.disk_id, again) == padded(THEN)


def test_disk_that_has_grown_keeps_its_size(harness: Harness) -> None:
    instance, export = in_use(harness)
    larger = 3 * SIZE
    harness.engine.grow(export.disk_id, larger)
    client = harness.client(instance, export)
    client.write(larger - MIB, noise(9, MIB))
    client.close()
    source, image = then(harness, padded(THEN))
    kept = new_id()

    harness.engine.revert(export.disk_id, source, kept, size=SIZE)

    assert harness.client(instance, export).read(0, larger) == padded(THEN, larger)
    assert at(harness, export.disk_id, kept) == NOW + bytes(larger - 4 * MIB) + noise(9, MIB)
    harness.engine.fill(export.disk_id, image, snapshot_id=source.snapshot_id)
    assert harness.client(instance, export).read(0, larger) == padded(THEN, larger)


def test_reverted_disk_grows_is_forked_and_deleted(harness: Harness) -> None:
    instance, export = in_use(harness)
    source, image = then(harness)
    kept, point, fork = new_id(), new_id(), new_id()
    harness.engine.revert(export.disk_id, source, kept, size=SIZE)
    harness.engine.grow(export.disk_id, 2 * SIZE)
    harness.engine.freeze({export.disk_id: point})

    harness.engine.fork(export.disk_id, point, fork)

    harness.engine.fill(fork, image, snapshot_id=source.snapshot_id)
    harness.engine.stand_alone(fork)
    harness.engine.detach(instance, export.disk_id, force=True)
    harness.engine.delete(export.disk_id)
    other = Export(fork, "fork")
    harness.engine.attach(instance, other)
    assert harness.client(instance, other).read(0, 2 * SIZE) == padded(THEN, 2 * SIZE)
    with pytest.raises(EngineError, match="does not exist"):
        harness.engine.past(export.disk_id)


def test_another_engine_finds_the_past(harness: Harness) -> None:
    instance, export = in_use(harness)
    source, image = then(harness)
    kept = new_id()
    harness.engine.revert(export.disk_id, source, kept, size=SIZE)

    harness.restart()
    harness.engine.begin_clone(export.disk_id, SIZE, source)
    harness.engine.adopt({instance: [export]})

    past = harness.engine.past(export.disk_id)
    assert past is not None
    assert (past.point, list(past.points)) == (kept, [kept])
    assert at(harness, export.disk_id, kept) == padded(NOW)
    harness.engine.fill(export.disk_id, image, snapshot_id=source.snapshot_id)
    harness.engine.release(export.disk_id, source.snapshot_id, stored=True)
    harness.engine.release(export.disk_id, kept, stored=True)
    assert harness.engine.settle()
    assert list(harness.engine.points(export.disk_id)) == [source.snapshot_id]
    assert harness.client(instance, export).read(0, SIZE) == padded(THEN)


def test_descriptions_stay_with_the_disk(harness: Harness) -> None:
    _, export = in_use(harness)
    harness.engine.describe(export.disk_id, b"a disk")
    source, _ = then(harness)

    harness.engine.revert(export.disk_id, source, new_id(), size=SIZE, keep=False)
    assert harness.engine.settle()

    assert harness.engine.descriptions()[export.disk_id] == b"a disk"


def test_what_cannot_be_reverted(harness: Harness) -> None:
    _, export = in_use(harness)
    source, _ = then(harness, bytes(2 * SIZE))

    with pytest.raises(EngineError, match="cannot hold"):
        harness.engine.revert(export.disk_id, source, new_id(), size=SIZE)
    with pytest.raises(EngineError, match="does not exist"):
        harness.engine.revert(new_id(), source, new_id(), size=2 * SIZE)
