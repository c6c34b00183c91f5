"""Snapshots served from a vault that is slow: reads wait, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mooring.model.clock import SystemClock
from mooring.model.errors import VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.nbd.export import Export
from mooring.nbd.protocol import STATUS_ZERO
from mooring.vault.served.exports import SnapshotExports
from mooring.vault.served.grants import Grants
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.disks import info

SNAPSHOT = "00000000-0000-4000-8000-000000000001"
DATA = b"x" * BLOCK_SIZE


class SlowStore(MemoryStore):
    """Answers only while `open` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.open.set()
        self.waiting = 0

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if not self.open.is_set():
            self.waiting += 1
        assert self.open.wait(30)
        return super().get(name, offset, length)


@pytest.fixture
def store() -> Iterator[SlowStore]:
    store = SlowStore()
    with (
        Vault.create_or_open(store, SystemClock()) as vault,
        vault.begin(info(SNAPSHOT)) as writer,
    ):
        writer.write(0, DATA)
        writer.commit()
    yield store
    store.open.set()


def read(store: SlowStore, run: Path, patience: float, after: float | None) -> list[bytes | str]:
    """Read twice from a vault that does not answer until `after` seconds are over, if ever."""
    clock = SystemClock()
    found: list[bytes | str] = []

    async def try_read(export: Export) -> None:
        try:
            found.append(bytes(await export.read(0, BLOCK_SIZE)))
        except VaultError as error:
            found.append(str(error))

    async def scenario(exports: SnapshotExports) -> None:
        export = await exports.open(SNAPSHOT)
        assert export is not None
        store.open.clear()
        loop = asyncio.get_running_loop()
        if after is not None:
            loop.call_later(after, store.open.set)
        await try_read(export)
        store.open.set()
        await try_read(export)
        await export.close()

    with (
        Vault.create_or_open(store, clock) as vault,
        ThreadPoolExecutor(4) as executor,
    ):
        asyncio.run(scenario(SnapshotExports(vault, executor, clock, Grants(run, clock), patience)))
    return found


def test_a_read_waits_for_a_slow_vault(store: SlowStore, tmp_path: Path) -> None:
    assert read(store, tmp_path, patience=20, after=0.3) == [DATA, DATA]
    assert store.waiting


def test_a_read_does_not_wait_for_ever(store: SlowStore, tmp_path: Path) -> None:
    failed, later = read(store, tmp_path, patience=0.3, after=None)
    assert f"snapshot {SNAPSHOT} could not be read within 0.3 s" in str(failed)
    assert "slow or away" in str(failed)
    assert later == DATA


def test_whoever_comes_from_elsewhere_needs_a_grant(store: SlowStore, tmp_path: Path) -> None:
    clock = SystemClock()
    grants = Grants(tmp_path, clock)

    async def scenario(exports: SnapshotExports) -> None:
        outside = exports.granted_only()
        assert await outside.names() == []
        assert await outside.open(SNAPSHOT) is None
        assert await outside.open("0" * 32) is None
        export = await outside.open(grants.add(SNAPSHOT, 60))
        assert export is not None
        assert await export.read(0, BLOCK_SIZE) == DATA
        await export.close()
        assert await outside.open(grants.add(SNAPSHOT, 0)) is None

    with Vault.create_or_open(store, clock) as vault, ThreadPoolExecutor(4) as executor:
        asyncio.run(scenario(SnapshotExports(vault, executor, clock, grants)))


def test_no_status_of_what_cannot_be_read(store: SlowStore, tmp_path: Path) -> None:
    """Asked for as much as one read may have, the status waits and fails as the read would."""
    clock = SystemClock()

    async def scenario(exports: SnapshotExports) -> None:
        export = await exports.open(SNAPSHOT)
        assert export is not None
        # What the map says is known from here on, what the data are is not.
        (whole,) = await export.block_status(0, export.size, 1)
        assert not whole.flags & STATUS_ZERO
        store.open.clear()
        assert await export.block_status(0, export.size, 1) == [whole]
        with pytest.raises(VaultError, match="could not be read within"):
            await export.block_status(0, BLOCK_SIZE, 1)
        store.open.set()
        assert await export.block_status(0, BLOCK_SIZE, 1) == [whole]
        # The read that follows needs nothing more.
        store.open.clear()
        assert await export.read(0, BLOCK_SIZE) == DATA
        assert await export.read(512, 1024) == DATA[:1024]
        store.open.set()
        await export.close()

    with Vault.create_or_open(store, clock) as vault, ThreadPoolExecutor(4) as executor:
        exports = SnapshotExports(vault, executor, clock, Grants(tmp_path, clock), patience=0.3)
        asyncio.run(scenario(exports))
