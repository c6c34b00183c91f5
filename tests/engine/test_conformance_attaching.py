"""What every engine promises of attached disks."""

from __future__ import annotations

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import (
    DiskBusyError,
    EngineError,
)
from mooring.model.extents import Extent
from tests.engine.harness import (
    MIB,
    Harness,
    attached,
    new_id,
    noise,
)

SIZE = 8 * MIB


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


def test_what_is_served_is_known(harness: Harness) -> None:
    engine, disks = harness.engine, [Export(new_id(), f"disk-{n}") for n in range(2)]
    for disk in disks:
        engine.create(disk.disk_id, SIZE)
    instance = new_id()
    assert instance not in engine.served()
    for disk in disks:
        engine.attach(instance, disk)
    assert set(engine.served()[instance]) == {disk.disk_id for disk in disks}
    engine.detach(instance, disks[0].disk_id)
    assert list(engine.served()[instance]) == [disks[1].disk_id]
    engine.stop(instance)
    assert instance not in engine.served()


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
