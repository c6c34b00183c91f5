"""Vaults of regions: looked at anew for whoever asks, and never waited for."""

from __future__ import annotations

import threading

import pytest

from mooring.vault.region_vaults import RegionVaults, Waiting
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault

HERE, THERE = "us-east-2", "eu-west-1"


def test_what_has_changed_is_seen_by_the_next_who_asks(memory: MemoryStore, vault: Vault) -> None:
    vaults = RegionVaults({HERE: lambda: vault})
    for _ in range(3):
        assert vaults.problem(HERE) is None
        assert vaults.problem(HERE, writes=True) is None
        memory.read_only = True
        assert vaults.problem(HERE) is None
        assert "can only be read" in (vaults.problem(HERE, writes=True) or "")
        memory.read_only = False


@pytest.mark.parametrize("closed", [False, True])
def test_a_thread_that_has_ended_is_followed_by_another(vault: Vault, closed: bool) -> None:
    before = set(threading.enumerate())
    waiting = Waiting(idle_seconds=60.0 if closed else 0.001)
    vaults = RegionVaults({HERE: lambda: vault}, waiting)
    for _ in range(5):
        assert vaults.problem(HERE) is None
        looking = set(threading.enumerate()) - before
        if closed:
            vaults.close()
        for thread in looking:
            thread.join(60)
            assert not thread.is_alive()


def test_many_who_ask_at_once_need_one_thread(vault: Vault) -> None:
    seen: set[threading.Thread] = set()

    def open_it() -> Vault:
        seen.add(threading.current_thread())
        return vault

    vaults = RegionVaults({HERE: open_it})
    found: list[str | None] = []
    askers = [
        threading.Thread(target=lambda: found.extend(vaults.problem(HERE) for _ in range(50)))
        for _ in range(8)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    vaults.close()
    assert found == [None] * 400
    assert len(seen) == 1


def test_one_that_hangs_holds_up_nobody(vault: Vault) -> None:
    back = threading.Event()

    def hang() -> Vault:
        back.wait()
        return vault

    hasty = Waiting(patience_seconds=0.05)
    vaults = RegionVaults({HERE: hang, THERE: lambda: vault}, hasty)
    assert "does not answer" in (vaults.problem(HERE) or "")
    assert "does not answer" in (vaults.problem(HERE, writes=True) or "")
    vaults.waiting = Waiting(patience_seconds=60.0)
    assert vaults.problem(THERE) is None
    back.set()
    assert vaults.problem(HERE) is None
