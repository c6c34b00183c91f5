"""Users of disks to be brought to rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.filesystem import why_not
from mooring.model.clock import SystemClock
from mooring.quiesce.process import CommandPair, Limits, ProcessQuiescer
from tests.quiesce.agent import Agent
from tests.quiesce.file_system import FileSystem


@pytest.fixture
def agent(run_dir: Path) -> Iterator[Agent]:
    agent = Agent(run_dir / "agent.sock")
    yield agent
    agent.close()


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[FileSystem]:
    if reason := why_not():
        pytest.skip(reason)
    file_system = FileSystem(tmp_path / "ext4")
    yield file_system
    file_system.close()


@pytest.fixture
def pairs() -> dict[str, CommandPair]:
    """The commands of instances, by name."""
    return {}


@pytest.fixture
def quiescer(
    tmp_path: Path, run_dir: Path, pairs: dict[str, CommandPair]
) -> Iterator[ProcessQuiescer]:
    limits = Limits(freeze_seconds=1.0, hold_seconds=2.0, agent_directories=[str(run_dir)])
    quiescer = ProcessQuiescer(tmp_path / "holds", SystemClock(), limits, pairs, [Path("/")])
    yield quiescer
    quiescer.close()
