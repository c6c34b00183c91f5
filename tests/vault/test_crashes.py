"""A crash between any two operations on the store loses and breaks nothing."""

from __future__ import annotations

import random

import pytest

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.margins import MARGINS
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, check_all, info
from tests.vault.faults import Crash, CrashingStore


def contents() -> dict[str, Disk]:
    rng = random.Random(3)
    first = Disk(blocks={number: rng.randbytes(BLOCK_SIZE) for number in range(500)})
    second = first.copy()
    second.blocks.update({number: rng.randbytes(BLOCK_SIZE) for number in range(0, 500, 100)})
    return {"a": first, "b": second}


DISKS = contents()


def store(vault: Vault, snapshot_id: str, parent: str | None) -> None:
    """Store as a job does that is repeated after a crash."""
    if vault.confirm(snapshot_id) is not None:
        return
    disk = DISKS[snapshot_id]
    chosen = sorted(disk.blocks) if parent is None else range(0, 500, 100)
    with vault.begin(info(snapshot_id), parent) as writer:
        for number in chosen:
            writer.write(number * BLOCK_SIZE, disk.blocks[number])
        writer.commit()


def scenario(vault: Vault, done: list[str]) -> None:
    """Store two snapshots, delete the first, collect; note what was done."""
    store(vault, "a", None)
    done.append("stored a")
    vault.collect()
    store(vault, "b", "a")
    done.append("stored b")
    vault.delete("a")
    done.append("deleted a")
    vault.collect()


def operations() -> int:
    memory = CrashingStore()
    with Vault.create_or_open(memory, ManualClock(), SMALL) as vault:
        scenario(vault, [])
    return memory.operations


def crash(store: CrashingStore, clock: ManualClock) -> list[str]:
    """Run the scenario until it crashes; return what was done."""
    done: list[str] = []
    try:
        with Vault.create_or_open(store, clock, SMALL) as vault:
            scenario(vault, done)
    except Crash:
        return done
    raise AssertionError("it did not crash")


def check_after(store: CrashingStore, done: list[str], clock: ManualClock) -> None:
    """Assert that nothing that was done is lost, and that nothing else is wrong."""
    with Vault.create_or_open(store, clock, SMALL) as vault:
        found = set(vault.snapshot_ids())
        if "stored a" in done and "stored b" not in done:
            assert "a" in found
        if "stored b" in done:
            assert "b" in found
        if "deleted a" in done:
            assert "a" not in found
        check_all(vault, {name: DISKS[name] for name in found})
        assert vault.verify() == []
        vault.collect()
        check_all(vault, {name: DISKS[name] for name in found})

        repeated: list[str] = []
        if "deleted a" not in done and not ("b" in found and "a" not in found):
            scenario(vault, repeated)
        check_all(vault, {"b": DISKS["b"]})
        clock.advance(MARGINS.claim_expires_ms / 1000 + 1)
        vault.collect()
        check_all(vault, {"b": DISKS["b"]})
        assert_nothing_left(vault, store)
        vault.delete("b")
        vault.collect()
        clock.advance(MARGINS.tombstone_kept_ms / 1000 + 1)
        vault.collect()
        assert list(store.objects) == ["vault"]


def assert_nothing_left(vault: Vault, store: MemoryStore) -> None:
    """Every object is needed: the header, roots, and segments that they name."""
    assert not [name for name in store.objects if name.startswith("claims/")]
    before = len(store.objects)
    report = vault.collect(dry_run=True)
    assert report.segments_deleted == 0
    assert len(store.objects) == before


@pytest.mark.parametrize("crash_at", range(operations()))
def test_a_crash_at_any_operation(crash_at: int) -> None:
    store = CrashingStore(crash_at)
    done = crash(store, ManualClock())

    for seed in range(3):
        check_after(store.after_power_cut(random.Random(seed)), done, ManualClock())


def test_the_scenario_has_many_operations() -> None:
    assert operations() > 20
