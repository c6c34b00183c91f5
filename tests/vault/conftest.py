"""Vaults for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mooring.model.clock import ManualClock
from mooring.vault.format.layout import FRAME_BYTES
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions

SMALL_SEGMENTS = FRAME_BYTES * 5 // 4
"""So that a few writes fill several."""

SMALL = VaultOptions(segment_bytes=SMALL_SEGMENTS)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def vault(memory: MemoryStore, clock: ManualClock) -> Iterator[Vault]:
    with Vault.create_or_open(memory, clock, SMALL) as opened:
        yield opened
