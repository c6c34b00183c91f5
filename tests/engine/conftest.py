"""The engines under test, each with a way to act as a client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.harness import Harness, MemoryHarness, QemuHarness


@pytest.fixture
def qemu(run_dir: Path, tmp_path: Path) -> Iterator[QemuHarness]:
    harness = QemuHarness(tmp_path / "data", run_dir / "run")
    yield harness
    harness.close()


@pytest.fixture(params=["memory", pytest.param("qemu", marks=pytest.mark.full)])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
    else:
        yield request.getfixturevalue("qemu")
