"""The stores of layers under test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.engine.qemu.stores.directory import DirectoryStore
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.clock import SystemClock
from tests.ceph_cluster import CephCluster, new_host
from tests.engine.harness import new_id


@dataclass(frozen=True)
class Place:
    """A store, and a folder in it that is there."""

    store: LayerStore
    folder: Path


@pytest.fixture
def rbd(ceph: CephCluster, run_dir: Path) -> Iterator[RbdStore]:
    store = RbdStore(ceph.place(), new_host(), SystemClock())
    store.start(run_dir, run_dir)
    yield store
    store.close()


@pytest.fixture(params=["directory", pytest.param("rbd", marks=pytest.mark.full)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return Place(DirectoryStore(SystemClock()), tmp_path)
    store: RbdStore = request.getfixturevalue("rbd")
    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    return Place(store, folder)
