"""Catalogs that know less than vaults do: copies put back, power cuts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.backend.backend import Backend
from mooring.catalog.copies import CatalogCopies, put_back
from mooring.catalog.database import Catalog
from mooring.engine.interface import Freeze
from mooring.jobs.automatic.due import take_due
from mooring.jobs.watching.held import HeldWatch
from mooring.model.automatic.rhythm import DAY_MS
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from tests.service.automatic import TAG
from tests.service.world import World


class Copied:
    """A world whose catalog is a file, and a copy of that."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "catalog.sqlite"
        self._folder = folder
        self.world = World(catalog=self._opened())
        self._copy: Path | None = None

    def copy(self) -> None:
        copies = CatalogCopies(self._folder / "copies", 7, self.world.clock)
        self._copy = copies.make(self._file)

    def put_back(self, then: Callable[[Backend], None] = lambda _: None) -> None:
        """Put the copy back, do something else, and start the server again."""
        assert self._copy is not None
        self.world.catalog.close()
        put_back(self._copy, self._file, self._folder / "aside")
        catalog = self._opened()
        then(replace(self.world.backend, catalog=catalog))
        self.world.restart(catalog)

    def _opened(self) -> Catalog:
        return Catalog(f"sqlite:///{self._file}")


@pytest.fixture
def copied(tmp_path: Path) -> Copied:
    return Copied(tmp_path)


def states(world: World) -> dict[str, SnapshotState]:
    with world.catalog.read() as transaction:
        return {one.id: one.state for one in transaction.snapshots.all()}


def held(world: World, snapshot_id: str, length: int) -> bytes:
    with world.vault.open(snapshot_id) as image:
        return bytes(image.read(0, length))


def test_what_was_stored_since_the_copy_is_kept(copied: Copied) -> None:
    world, data = copied.world, os.urandom(2 * BLOCK_SIZE)
    disk = world.disk()
    world.write(disk, 0, data)
    world.snapshot("first")
    copied.copy()
    world.settle()
    (first,) = world.vault.snapshot_ids()

    copied.put_back()
    world.settle()

    assert states(world) == {first: SnapshotState.COMPLETED}
    assert held(world, first, len(data)) == data


def test_what_was_frozen_since_the_copy_is_not_frozen_again(copied: Copied) -> None:
    world, old, new = copied.world, os.urandom(4 * BLOCK_SIZE), os.urandom(BLOCK_SIZE)
    disk = world.disk(tags=[{"key": TAG, "value": "daily keep 1 week"}])
    world.write(disk, 0, old)
    world.clock.advance(DAY_MS / 1000)
    assert take_due(world.backend) == 1
    copied.copy()
    world.settle()
    (first,) = world.vault.snapshot_ids()
    assert held(world, first, len(old)) == old
    world.write(disk, 0, new)

    copied.put_back()
    world.settle()
    assert states(world) == {first: SnapshotState.COMPLETED}
    assert held(world, first, len(old)) == old
    # The next one builds on it, and must not take it for what the disk held later.
    world.snapshot("second")
    world.settle()
    (second,) = set(world.vault.snapshot_ids()) - {first}
    assert held(world, second, len(old)) == new + old[BLOCK_SIZE:]


def test_what_was_confirmed_and_stored_since_the_copy_is_kept(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, data = copied.world, os.urandom(BLOCK_SIZE)
    disk = world.disk()
    world.write(disk, 0, data)
    freeze = world.engine.freeze

    def copying(points: Mapping[str, str]) -> Freeze:
        copied.copy()
        monkeypatch.undo()
        return freeze(points)

    monkeypatch.setattr(world.engine, "freeze", copying)
    world.snapshot("first")
    world.settle()
    (first,) = world.vault.snapshot_ids()
    for name in ("second", "third"):
        world.write(disk, 0, os.urandom(BLOCK_SIZE))
        world.snapshot(name)
        world.settle()
    assert first not in world.engine.points(disk)

    copied.put_back()
    world.settle()

    assert states(world) == {first: SnapshotState.COMPLETED}
    assert held(world, first, len(data)) == data


def test_a_revert_of_a_disk_that_was_deleted_since_holds_up_nothing(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = copied.world
    world.disk()
    world.snapshot("then")
    world.settle()
    revert = world.engine.revert

    def copying(*given: Any, **more: Any) -> None:
        copied.copy()
        revert(*given, **more)

    monkeypatch.setattr(world.engine, "revert", copying)
    world.act("revert", diskName="data", diskSnapshotName="then")
    world.settle()
    world.call("DeleteDisk", diskName="data")
    world.settle()

    copied.put_back()
    world.call("DeleteDisk", diskName="data")
    world.call("DeleteDiskSnapshot", diskSnapshotName="then")
    world.settle()
    watch = HeldWatch(world.backend)
    watch.look()
    watch.look()
    world.settle()

    (before,) = world.vault.snapshot_ids()
    assert states(world) == {before: SnapshotState.COMPLETED}, "what it held"
    with world.catalog.read() as transaction:
        assert transaction.jobs.all() == []


class Cut(BaseException):
    """Ends the job's thread as a power cut would."""


def test_a_power_cut_between_a_root_and_its_record_loses_no_snapshot(tmp_path: Path) -> None:
    def cut(job: Job, _step: str, moment: str) -> None:
        if job.kind is JobKind.UPLOAD_SNAPSHOT and moment == "done":
            raise Cut

    world = World(cut, catalog=Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}"))
    data = os.urandom(BLOCK_SIZE)
    disk = world.disk()
    world.write(disk, 0, data)
    world.snapshot("first")
    # Whoever takes a job waits for no disk, so this may be what is left of the catalog.
    copies = CatalogCopies(tmp_path / "copies", 1, world.clock)
    left = copies.make(tmp_path / "catalog.sqlite")
    assert left is not None
    with pytest.raises(Cut):
        world.settle()
    (first,) = world.vault.snapshot_ids()

    world.catalog.close()
    world.restart(Catalog(f"sqlite:///{left}"))
    world.settle()

    assert states(world) == {first: SnapshotState.COMPLETED}
    assert held(world, first, len(data)) == data
