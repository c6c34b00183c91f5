"""Copies of vaults leave free what is kept for disks in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mooring.host import room
from mooring.host.rooms import Rooms, of_copy
from mooring.jobs.keep_vault import enqueue
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job_arguments import ReplicateVault
from mooring.model.resources.job_kind import JobKind
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Replica, Vault
from tests.service.world import REGION, World

GIB = 1 << 30


def test_a_copy_takes_no_more_than_there_is_above_the_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "copy"
    free = 100 * GIB
    monkeypatch.setattr(room, "room_at", lambda path: room.Room(path, free, 1000 * GIB))
    world = World(rooms=Rooms({of_copy(REGION): place}, margin=GIB))
    replica = Replica(place=str(place), options={}, delete=False)
    object.__setattr__(world.backend, "replicas", {REGION: replica})

    def bring_up_to_date() -> list[str]:
        with world.catalog.write() as transaction:
            enqueue(transaction, world.backend, ReplicateVault(), REGION)
        world.settle(10)
        with Vault.create_or_open(DirectoryStore(place), world.clock, create=False) as copy:
            return sorted(copy.snapshot_ids())

    disk = world.disk()
    for name in ("first", "second"):
        world.write(disk, 0, os.urandom(64 * BLOCK_SIZE))
        world.snapshot(name)
        world.settle()
        if name == "first":
            (first,) = bring_up_to_date()
            free = GIB // 2
    assert bring_up_to_date() == [first]
    with world.catalog.read() as transaction:
        (job,) = transaction.jobs.of_kind(JobKind.REPLICATE_VAULT)
    assert "the copy of the vault of us-east-2" in (job.error_details or "")
    # What waited goes on.
    free = 2 * GIB
    assert len(bring_up_to_date()) == 2
    world.close()
