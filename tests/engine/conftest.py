"""The engines under test, each with a way to act as a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from tests.ceph_cluster import CephCluster, new_host
from tests.engine.ceph_host import Host
from tests.engine.harness import Harness, MemoryHarness, QemuHarness


@pytest.fixture
def qemu(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    harness = QemuHarness(tmp_path / "data", run_dir / "run")
    yield harness
    harness.close()


@pytest.fixture
def qemu_on_rbd(ceph: CephCluster, run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    """The same engine, with its layers in a Ceph cluster."""
    host = new_host()
    harness = QemuHarness(
        tmp_path / "data",
        run_dir / "run",
        store=lambda: RbdStore(ceph.place(), host, SystemClock()),
    )
    yield harness
    harness.close()


@pytest.fixture
def host(ceph: CephCluster, tmp_path: Path, run_dir: Path) -> Iterator[Callable[[str], Host]]:
    """Makes hosts that share the cluster."""
    made: list[Host] = []

    def make(name: str) -> Host:
        made.append(Host(ceph, tmp_path, run_dir, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


LOCAL_ENGINES = ["memory", pytest.param("qemu", marks=pytest.mark.full)]
ENGINES = [
    *LOCAL_ENGINES,
    pytest.param("qemu_on_rbd", marks=pytest.mark.full),
]


@pytest.fixture(params=ENGINES)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
    else:
        yield request.getfixturevalue(request.param)


@pytest.fixture(params=LOCAL_ENGINES)
def local_harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """Those whose disks are this host's own."""
    if request.param == "memory":
        yield MemoryHarness()
    else:
        yield request.getfixturevalue(request.param)
