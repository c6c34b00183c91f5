"""Roots are read side by side, and known ones only once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.store.abreast import AT_ONCE
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, check_all, info
from tests.vault.faults import InterruptedStore

BLOCK = b"x" * BLOCK_SIZE


class Counting(InterruptedStore):
    """Notes which roots are read."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner, self.note)
        self.read: list[str] = []

    def note(self, operation: str, name: str) -> None:
        if operation == "get" and name.startswith("roots/"):
            self.read.append(name)


class SameMarks(Counting):
    """A service whose listing does not tell contents apart."""

    mark = "mark"

    def marked(self, prefix: str) -> Iterator[tuple[str, str]]:
        return ((name, self.mark) for name, _ in super().marked(prefix))


def fill(memory: MemoryStore, clock: ManualClock, *names: str) -> None:
    """Store snapshots, from another process."""
    with Vault.create_or_open(memory, clock, SMALL) as vault:
        for name in names:
            with vault.begin(info(name)) as writer:
                writer.write(0, BLOCK)
                writer.commit()


def test_known_roots_are_not_read_again(memory: MemoryStore, clock: ManualClock) -> None:
    fill(memory, clock, "a", "b")
    store = Counting(memory)
    with Vault.create_or_open(store, clock, SMALL) as vault:
        vault.collect()
        assert sorted(store.read) == ["roots/a", "roots/b"]
        store.read.clear()
        fill(memory, clock, "c")
        vault.collect()
        assert store.read == ["roots/c"]
        store.read.clear()
        vault.usage()
        vault.readable_roots()
        vault.collect()
        assert store.read == []
        vault.verify()
        assert sorted(store.read[:3]) == ["roots/a", "roots/b", "roots/c"]


def test_what_was_deleted_is_not_remembered(memory: MemoryStore, clock: ManualClock) -> None:
    fill(memory, clock, "a", "b")
    with Vault.create_or_open(memory, clock, SMALL) as vault:
        vault.collect()
        with Vault.create_or_open(memory, clock, SMALL) as other:
            other.delete("a")
        assert [root.id for root in vault.readable_roots()[0]] == ["b"]
        assert vault.collect().segments_deleted == 1


def test_a_snapshot_that_was_stored_anew(memory: MemoryStore, clock: ManualClock) -> None:
    """A writer that lost its claim removes its root; the next one stores it under the same id."""
    fill(memory, clock, "a")
    disk = Disk()
    with Vault.create_or_open(memory, clock, SMALL) as vault:
        vault.collect()
        del memory.objects["roots/a"]
        with Vault.create_or_open(memory, clock, SMALL) as other, other.begin(info("a")) as writer:
            disk.write(writer, 5, b"y" * BLOCK_SIZE)
            writer.commit()
        assert vault.collect().segments_deleted == 1
        check_all(vault, {"a": disk})
        assert vault.verify() == []


def test_without_marks_roots_are_read_each_time(memory: MemoryStore, clock: ManualClock) -> None:
    fill(memory, clock, "a")
    store = SameMarks(memory)
    store.mark = ""
    with Vault.create_or_open(store, clock, SMALL) as vault:
        vault.collect()
        vault.collect()
    assert store.read == ["roots/a", "roots/a"]


def test_verification_believes_no_mark(memory: MemoryStore, clock: ManualClock) -> None:
    fill(memory, clock, "a", "b")
    with Vault.create_or_open(SameMarks(memory), clock, SMALL) as vault:
        assert vault.verify() == []
        vault.collect()
        memory.objects["roots/a"] = memory.objects["roots/a"][:-1] + b"!"
        assert [one.snapshot_id for one in vault.verify()] == ["a"]
        assert [one.snapshot_id for one in vault.mend([]).left] == ["a"]


def test_a_damaged_root_is_not_remembered(memory: MemoryStore, clock: ManualClock) -> None:
    fill(memory, clock, "a")
    sound = memory.objects["roots/a"]
    memory.objects["roots/a"] = b"no root"
    with Vault.create_or_open(SameMarks(memory), clock, SMALL) as vault:
        with pytest.raises(DamageError, match="nothing was collected"):
            vault.collect()
        memory.objects["roots/a"] = sound
        assert vault.collect().segments_deleted == 0


def test_roots_are_read_side_by_side(memory: MemoryStore, clock: ManualClock) -> None:
    names = [f"s{number}" for number in range(2 * AT_ONCE)]
    fill(memory, clock, *names)
    together = threading.Barrier(AT_ONCE, timeout=60)

    def meet(operation: str, name: str) -> None:
        # Goes on only when as many are under way.
        if operation == "get" and name.startswith("roots/"):
            together.wait()

    with Vault.create_or_open(InterruptedStore(memory, meet), clock, SMALL) as vault:
        assert vault.collect().segments_kept == len(names)
    reads: list[Callable[[Vault], object]] = [Vault.readable_roots, lambda one: one.verify(names)]
    for read in reads:
        with Vault.create_or_open(InterruptedStore(memory, meet), clock, SMALL) as vault:
            read(vault)
