"""Uploads keep to a rate, and give way."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import pytest

from mooring.host.pace import Pace, Rests
from mooring.model.clock import ManualClock
from mooring.vault.format.frame import Packer
from mooring.vault.format.layout import FRAME_BYTES
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.disks import store

MIB = 1024 * 1024


def test_what_is_spent_takes_its_time() -> None:
    clock = ManualClock()
    pace = Pace(clock, 10 * MIB)
    for _ in range(50):
        pace.spend(MIB)
    assert 4.8 < clock.monotonic() <= 5.0
    # Time that went by unused does not allow more afterwards.
    clock.advance(100)
    for _ in range(50):
        pace.spend(MIB)
    assert 109.5 < clock.monotonic() <= 110.0


def test_rests_are_as_long_as_the_work() -> None:
    clock = ManualClock()
    rests = Rests(clock)
    for seconds in (1.0, 3.0):
        with rests.piece():
            clock.advance(seconds)
    assert clock.monotonic() == 8.0


def test_several_uploads_share_the_rate() -> None:
    waited: SimpleQueue[float] = SimpleQueue()

    class Stopped(ManualClock):
        def sleep(self, seconds: float) -> None:
            waited.put(seconds)

    pace = Pace(Stopped(), MIB)
    threads = [threading.Thread(target=pace.spend, args=(MIB,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(waited.get_nowait() for _ in range(waited.qsize())) == pytest.approx([1, 2, 3])


def test_a_snapshot_keeps_to_the_rate() -> None:
    clock = ManualClock()
    data = random.Random(1).randbytes(40 * FRAME_BYTES)
    with Vault.create_or_open(MemoryStore(), clock, VaultOptions(bytes_per_second=MIB)) as vault:
        store(vault, "a", {0: data})
        assert 19 < clock.monotonic() <= 20.1
        # What is not stored costs no time.
        store(vault, "b", {0: data})
        assert clock.monotonic() <= 20.1


def test_the_threads_that_compress_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    pack = Packer.pack

    def noted(self: Packer, *arguments: Any) -> Any:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return pack(self, *arguments)

    monkeypatch.setattr(Packer, "pack", noted)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    data = random.Random(1).randbytes(4 * FRAME_BYTES)
    with Vault.create_or_open(MemoryStore(), ManualClock(), VaultOptions(nice=before + 7)) as vault:
        store(vault, "a", {0: data})
        nice: Future[int] = vault._sealers.submit(
            lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        )
        assert nice.result() == before + 7
    # Data by the threads of the vault, the map by this one, which stays as it was.
    assert seen.count(before + 7) == 4
    assert set(seen) == {before, before + 7}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
