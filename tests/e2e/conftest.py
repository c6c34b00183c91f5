"""A deployment for each test, of which nothing is left in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.catalog.postgresql import PostgreSQL
from tests.conftest import CHECKOUT
from tests.e2e.deployment import Deployment
from tests.e2e.hosts import Cluster
from tests.e2e.processes import end_all


@pytest.fixture
def importable_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets processes import what lies beside the tests."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


@pytest.fixture
def deployment(run_dir: Path) -> Iterator[Deployment]:
    """A data directory, on which no server runs yet."""
    deployment = Deployment(run_dir)
    try:
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def engine_kind() -> str:
    """The engine of the hosts of a cluster."""
    return "qemu"


@pytest.fixture
def of_hosts() -> str:
    """What the settings of the hosts of a cluster have besides."""
    return ""


@pytest.fixture
def cluster(
    postgresql: PostgreSQL, run_dir: Path, engine_kind: str, of_hosts: str
) -> Iterator[Cluster]:
    """Servers and hosts that share a catalog, of which none runs yet."""
    cluster = Cluster(run_dir, postgresql.url(), engine_kind, of_hosts)
    try:
        yield cluster
    finally:
        cluster.close()
        end_all(run_dir)
