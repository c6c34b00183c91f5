"""A deployment for each test, of which nothing is left in the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.deployment import Deployment


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
