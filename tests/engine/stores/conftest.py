"""The stores of layers under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.engine.qemu.stores.directory import DirectoryStore
from mooring.engine.qemu.stores.store import LayerStore


@dataclass(frozen=True)
class Place:
    """A store, and a folder in it that is there."""

    store: LayerStore
    folder: Path


@pytest.fixture(params=["directory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(DirectoryStore(), tmp_path)
