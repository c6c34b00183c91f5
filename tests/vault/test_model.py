"""Random snapshots, deletions and collections against a model."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.layout import DIRECTORY_BYTES, PAGE_BLOCKS
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.conftest import SMALL_SEGMENTS
from tests.vault.disks import Disk, content, info

SIZES = [8 * GIB, 40 * GIB, 16384 * GIB]
STARTS = [0, 100, PAGE_BLOCKS - 60, DIRECTORY_BYTES // BLOCK_SIZE - 70, 8 * GIB // BLOCK_SIZE - 400]

Action = tuple[str, int, int, int]
actions = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "compare", "zero", "zero much"]),
        st.sampled_from(STARTS),
        st.integers(0, 260),
        st.integers(1, 140),
    ),
    max_size=6,
)


class VaultMachine(RuleBasedStateMachine):
    snapshots = Bundle("snapshots")

    can_punch = True

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryStore(can_punch=self.can_punch)
        self.clock = ManualClock()
        self.vault = self.open()
        self.disks: dict[str, Disk] = {}
        self.count = 0

    def open(self) -> Vault:
        return Vault.create_or_open(
            self.memory, self.clock, VaultOptions(threads=1, segment_bytes=SMALL_SEGMENTS)
        )

    def teardown(self) -> None:
        self.vault.close()

    @rule(target=snapshots, size=st.sampled_from(SIZES), todo=actions, seed=st.integers(0, 99))
    def store_in_full(self, size: int, todo: list[Action], seed: int) -> str:
        return self.store(Disk(size), None, todo, seed)

    @rule(
        target=snapshots,
        parent=snapshots,
        grow=st.booleans(),
        todo=actions,
        seed=st.integers(0, 99),
    )
    def store_changes(self, parent: str, grow: bool, todo: list[Action], seed: int) -> Any:
        if parent not in self.disks:
            return multiple()
        disk = self.disks[parent].copy()
        if grow:
            disk.size = min(disk.size + 17 * GIB, 16384 * GIB)
        return self.store(disk, parent, todo, seed)

    def store(self, disk: Disk, parent: str | None, todo: list[Action], seed: int) -> str:
        rng = random.Random(seed)
        self.count += 1
        name = f"s{self.count}"
        # Either ascending, as uploads come, or in any order.
        chosen = sorted(todo, key=lambda one: one[1] + one[2]) if seed % 2 else todo
        with self.vault.begin(info(name, disk.size), parent) as writer:
            for kind, start, shift, length in chosen:
                first = min(start + shift, disk.size // BLOCK_SIZE - length)
                if kind == "zero":
                    disk.zero(writer, first, length)
                elif kind == "zero much":
                    disk.zero(writer, first, disk.size // BLOCK_SIZE - first)
                else:
                    compare = kind == "compare" and seed % 2 == 1
                    disk.write(writer, first, content(rng, length), compare=compare)
            writer.commit()
        self.disks[name] = disk
        return name

    @rule(target=snapshots, origin=snapshots, elsewhere=st.booleans())
    def store_the_same_again(self, origin: str, elsewhere: bool) -> Any:
        """Without a parent, perhaps on another server: its frames are found in the vault."""
        if origin not in self.disks:
            return multiple()
        self.count += 1
        name = f"s{self.count}"
        disk = self.disks[origin].copy()
        vault = self.open() if elsewhere else self.vault
        with vault.begin(info(name, disk.size)) as writer:
            for first, data in disk.runs():
                writer.write(first * BLOCK_SIZE, data)
            writer.commit()
        if elsewhere:
            vault.close()
        self.disks[name] = disk
        return name

    @rule(snapshot=consumes(snapshots))
    def delete(self, snapshot: str) -> None:
        self.vault.delete(snapshot)
        self.disks.pop(snapshot)

    @rule()
    def collect(self) -> None:
        report = self.vault.collect(dry_run=True)
        assert self.vault.collect() == report
        again = self.vault.collect()
        assert again.segments_deleted == again.segments_punched == again.bytes_freed == 0
        assert again.segments_rewritten == 0

    @rule()
    def restart(self) -> None:
        self.vault.close()
        self.vault = self.open()

    @rule(old=snapshots, new=snapshots)
    def diff(self, old: str, new: str) -> None:
        if old not in self.disks or new not in self.disks:
            return
        before, after = self.disks[old], self.disks[new]
        if before.size > after.size:
            return
        changed = {
            block
            for extent in self.vault.diff(old, new)
            for block in range(extent.offset // BLOCK_SIZE, extent.end // BLOCK_SIZE)
        }
        differing = {
            block
            for block in before.blocks.keys() | after.blocks.keys()
            if before.blocks.get(block) != after.blocks.get(block)
        }
        assert changed >= differing

    @rule()
    def verify(self) -> None:
        assert self.vault.verify() == []

    @rule()
    def account(self) -> None:
        usage = {one.snapshot_id: one for one in self.vault.usage()}
        assert set(usage) == set(self.disks)
        for name in self.disks:
            total = usage[name].unique_bytes + usage[name].shared_bytes
            assert (total > 0) == bool(self.disks[name].blocks)

    @invariant()
    def every_snapshot_is_as_it_was(self) -> None:
        assert set(self.vault.snapshot_ids()) == set(self.disks)
        for name, disk in self.disks.items():
            with self.vault.open(name) as reader:
                disk.check(reader)


class WithoutHoles(VaultMachine):
    """In segments of which much is dead soon, and which are written again then."""

    can_punch = False

    def open(self) -> Vault:
        return Vault.create_or_open(self.memory, self.clock, VaultOptions(threads=1))


TestVaultModel = VaultMachine.TestCase
TestVaultModelWithoutHoles = WithoutHoles.TestCase
TestVaultModel.settings = settings(
    max_examples=60,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestVaultModelWithoutHoles.settings = settings(
    max_examples=30,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
