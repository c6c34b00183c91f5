"""A copy of a vault beside damage, crashes, collections and deletions."""

from __future__ import annotations

import random

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import VaultAwayError, VaultBusyError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.ids import RandomIds
from mooring.vault.claims.claims import Claims
from mooring.vault.claims.exclusive import without_collectors
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format.cipher import Clear
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES, SEGMENTS
from mooring.vault.store.interface import Store
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.copies import disks, fill, opened
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.faults import Crash, CrashingStore, InterruptedStore, once

__all__ = ["disks"]


def test_a_vault_that_goes_away_meanwhile_leaves_its_copy_whole(clock: ManualClock) -> None:
    """Unmounted, it looks as if all its snapshots had been deleted."""
    source, target = MemoryStore(), MemoryStore()
    with Vault.create_or_open(source, clock) as vault:
        for name in ("a", "b"):
            with vault.begin(info(name)) as writer:
                Disk().write(writer, 0, name.encode() * BLOCK_SIZE)
                writer.commit()

        with pytest.raises(VaultAwayError):
            vault.replicate(target, delete=True, on_copied=lambda *_: source.objects.clear())
    assert [name for name in target.objects if name.startswith("roots/")] == ["roots/a"]


def flip(store: MemoryStore, name: str, place: int) -> None:
    data = bytearray(store.objects[name])
    data[place] ^= 4
    store.objects[name] = bytes(data)


def test_damage_is_told_and_not_copied(
    vault: Vault, memory: MemoryStore, disks: dict[str, Disk], clock: ManualClock
) -> None:
    fill(vault, disks, "other", None, 8)
    flip(memory, "roots/b", 40)
    walk = vault._workshop.walk
    (first, *_) = [segment for segment, _ in walk.segments_in(walk.frames_of(vault.root("a")))]
    flip(memory, next(name for name in memory.objects if name.endswith(first.hex())), 1000)
    target = MemoryStore()
    with opened(memory, clock) as again:
        done = again.replicate(target)

    assert "other" in done.copied
    assert {"a", "b"} <= set(done.problems)
    assert "the root of snapshot b is damaged" in done.problems["b"]
    assert "another digest" in done.problems["a"]
    with opened(target, clock) as copy:
        assert set(copy.snapshot_ids()) == set(done.copied)
        assert copy.verify() == []
        check_all(copy, {name: disks[name] for name in done.copied})


def test_any_damage_of_the_source_is_never_copied() -> None:
    clock, memory = ManualClock(), MemoryStore()
    disks: dict[str, Disk] = {}
    with opened(memory, clock) as vault:
        fill(vault, disks, "a", None, 1)
        fill(vault, disks, "b", "a", 2)
    rng = random.Random(6)
    names = [name for name in memory.objects if name != "vault"]
    told = 0
    for _ in range(60):
        name = rng.choice(names)
        damaged = MemoryStore()
        damaged.objects = dict(memory.objects)
        size = len(memory.objects[name])
        near_the_end = rng.random() < 0.5
        flip(damaged, name, rng.randrange(max(0, size - 600) if near_the_end else 16, size))
        target = MemoryStore()
        with opened(damaged, clock) as vault:
            done = vault.replicate(target)
        told += bool(done.problems)
        assert set(done.problems) | set(done.copied) == {"a", "b"}
        with opened(target, clock) as copy:
            check_all(copy, {name: disks[name] for name in done.copied})
            assert copy.verify() == []
    assert told == 60


def test_a_lost_segment_of_the_copy_does_not_spread(
    vault: Vault, disks: dict[str, Disk], clock: ManualClock
) -> None:
    """Left by a run that was killed: not all of what looks like a copy is one."""
    target = MemoryStore()
    vault.replicate(target)
    for name in list(target.objects):
        if name.startswith("roots/"):
            del target.objects[name]
        elif name.startswith(SEGMENTS):
            flip(target, name, 500)

    assert vault.replicate(target).copied == ["a", "b", "c"]
    with opened(target, clock) as copy:
        check_all(copy, disks)
        assert copy.verify() == []


def clean(clock: ManualClock) -> tuple[MemoryStore, dict[str, Disk]]:
    memory = MemoryStore()
    disks: dict[str, Disk] = {}
    with opened(memory, clock) as vault:
        fill(vault, disks, "a", None, 1)
        fill(vault, disks, "b", "a", 2)
    return memory, disks


def run(source: MemoryStore, target: Store, clock: ManualClock) -> None:
    """Copy, follow a deletion, copy again."""
    with opened(source, clock) as vault:
        vault.replicate(target)
        if vault.has("a"):
            vault.delete("a")
        fill(vault, {"b": Disk()}, "c", "b", 3)
        vault.replicate(target, delete=True)


def operations() -> int:
    target = CrashingStore()
    clock = ManualClock()
    run(clean(clock)[0], target, clock)
    return target.operations


@pytest.mark.parametrize("crash_at", range(operations()))
def test_a_crash_at_any_operation_on_the_copy(crash_at: int) -> None:
    clock = ManualClock()
    source, disks = clean(clock)
    target = CrashingStore(crash_at)
    with pytest.raises(Crash):
        run(source, target, clock)
    for seed in range(3):
        found = target.after_power_cut(random.Random(seed))
        later = ManualClock(clock.now_ms() + MARGINS.claim_expires_ms + 1)
        if "vault" in found.objects:
            with opened(found, later) as copy:
                assert copy.verify() == []
                ids = set(copy.snapshot_ids()) & set(disks)
                for name in ids:
                    with copy.open(name) as reader:
                        disks[name].check(reader)
        with opened(source, later) as vault:
            vault.replicate(found, delete=True)
            with opened(found, later) as copy:
                assert set(copy.snapshot_ids()) == set(vault.snapshot_ids())
                assert copy.verify() == []
                copy.collect()
                assert not [name for name in found.objects if name.startswith("claims/")]
                assert copy.verify() == []


def test_a_collector_gives_way_and_a_copy_waits(
    vault: Vault, memory: MemoryStore, disks: dict[str, Disk], clock: ManualClock
) -> None:
    target = MemoryStore()
    vault.replicate(target)
    claims = Claims(target, clock, RandomIds(), Clear())
    with opened(target, clock) as copy:
        copy.delete("a")
        before = dict(target.objects)
        with without_collectors(claims):
            assert copy.collect().postponed
            assert before.items() <= target.objects.items()
        assert not copy.collect().postponed
        claim = claims.to_collect()
        with (
            pytest.raises(
                VaultError, match="a collection is running on the vault memory, or was killed"
            ),
            without_collectors(claims),
        ):
            raise AssertionError("it must not begin")
        claim.release()
        with (
            without_collectors(claims),
            pytest.raises(VaultBusyError, match="somebody is copying into the vault memory"),
        ):
            vault.replicate(target)
    assert not [name for name in target.objects if name.startswith("claims/")]


def looks_at_a_segment(operation: str, name: str) -> bool:
    return operation == "tail" and name.startswith(SEGMENTS)


def test_a_deletion_meanwhile_is_no_damage_of_others(clock: ManualClock) -> None:
    """The snapshots share segments; what the deleted one alone needed is gone from them."""
    rng = random.Random(1)
    vault = Vault.create_or_open(MemoryStore(), clock, VaultOptions(segment_bytes=5 * FRAME_BYTES))
    old = Disk()
    with vault.begin(info("a"), None) as writer:
        old.write(writer, 0, content(rng, 8 * FRAME_BLOCKS))
        writer.commit()
    new = old.copy()
    with vault.begin(info("b"), "a") as writer:
        # Every other frame of a's segments is needed by it alone then.
        for frame in range(0, 8, 2):
            new.write(writer, frame * FRAME_BLOCKS, content(rng, FRAME_BLOCKS))
        writer.commit()

    deleted: list[str] = []

    def delete() -> None:
        deleted.append("a")
        vault.delete("a")
        assert vault.collect().segments_punched > 0

    target = InterruptedStore(MemoryStore(), once(looks_at_a_segment, delete))

    with vault:
        done = vault.replicate(target)

    assert deleted
    assert done.problems == {}
    assert done.copied == ["b"]
    with opened(target, clock) as copy:
        check_all(copy, {"b": new})


def test_several_deletions_meanwhile_are_no_trouble(clock: ManualClock) -> None:
    """One whose turn comes after it was found that what others needed is gone."""
    rng = random.Random(2)
    vault = Vault.create_or_open(MemoryStore(), clock, VaultOptions(segment_bytes=5 * FRAME_BYTES))
    disk = Disk()
    for name, parent in (("a", None), ("b", "a"), ("c", "b")):
        with vault.begin(info(name), parent) as writer:
            for frame in range(0, 8, 1 if parent is None else 2):
                disk.write(writer, frame * FRAME_BLOCKS, content(rng, FRAME_BLOCKS))
            writer.commit()
        if name == "b":
            kept = disk.copy()

    def delete() -> None:
        vault.delete("a")
        vault.delete("c")
        assert vault.collect().segments_punched > 0

    target = InterruptedStore(MemoryStore(), once(looks_at_a_segment, delete))

    with vault:
        done = vault.replicate(target)

    assert (done.problems, done.copied) == ({}, ["b"])
    with opened(target, clock) as copy:
        check_all(copy, {"b": kept})
