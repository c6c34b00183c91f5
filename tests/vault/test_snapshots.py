"""Storing and reading snapshots: content, parents, zeros, limits."""

from __future__ import annotations

import random
import threading

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import SnapshotNotInVaultError, VaultError
from mooring.model.extents import BLOCK_SIZE, GIB, Extent
from mooring.vault.format.layout import FRAME_BLOCKS, PAGE_BLOCKS
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.disks import MIB, ZERO, Disk, check_all, content, info, store

rng = random.Random(7)


def block(text: str) -> bytes:
    return text.encode().ljust(BLOCK_SIZE, b".")


def test_a_snapshot_holds_what_was_written(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        disk.write(writer, 0, content(rng, 700))
        disk.write(writer, PAGE_BLOCKS - 3, content(rng, 6))
        disk.write(writer, disk.size // BLOCK_SIZE - 1, block("the last"))
        root = writer.commit()

    check_all(vault, {"a": disk})
    assert root.info == vault.root("a").info
    assert root.statistics.changed_blocks == len(disk.blocks)
    assert root.statistics.segments > 1


@pytest.mark.parametrize("step", [1, 3, 64, FRAME_BLOCKS, 1000])
def test_it_does_not_matter_in_what_pieces(vault: Vault, step: int) -> None:
    data = content(random.Random(step), 1000)
    disk = Disk()
    with vault.begin(info("a")) as writer:
        for first in range(0, 1000, step):
            disk.write(writer, 77 + first, data[first * BLOCK_SIZE : (first + step) * BLOCK_SIZE])
        writer.commit()

    check_all(vault, {"a": disk})


def test_the_last_write_of_a_block_wins(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        for _ in range(60):
            first = rng.randrange(400)
            if rng.random() < 0.3:
                disk.zero(writer, first, rng.randrange(1, 300))
            else:
                disk.write(writer, first, content(rng, rng.randrange(1, 300)))
        writer.commit()

    check_all(vault, {"a": disk})


def test_pages_left_and_entered_again(vault: Vault) -> None:
    disk = Disk(size=64 * GIB)
    with vault.begin(info("a", disk.size)) as writer:
        for _ in range(3):
            for page in range(150):
                disk.write(writer, page * PAGE_BLOCKS + rng.randrange(3), block(str(page)))
        for page in range(0, 150, 2):
            disk.zero(writer, page * PAGE_BLOCKS + 1, 1)
        writer.commit()

    check_all(vault, {"a": disk})


def test_a_child_is_its_parent_with_changes(vault: Vault) -> None:
    disks = {"a": Disk()}
    with vault.begin(info("a")) as writer:
        disks["a"].write(writer, 0, content(rng, 3000))
        writer.commit()
    for parent, child in ("ab", "bc", "ad"):
        disks[child] = disks[parent].copy()
        with vault.begin(info(child), parent) as writer:
            for first in sorted(rng.sample(range(3000), 40)):
                disks[child].write(writer, first, content(rng, 2))
            disks[child].zero(writer, 2990, 5)
            assert writer.commit().parent == parent

    check_all(vault, disks)
    vault.delete("a")
    del disks["a"]
    vault.collect()
    check_all(vault, disks)


def test_a_child_costs_what_changed(vault: Vault) -> None:
    store(vault, "a", {0: rng.randbytes(4096 * BLOCK_SIZE)})
    root = store(
        vault,
        "b",
        {first: rng.randbytes(BLOCK_SIZE) for first in sorted(rng.sample(range(4096), 256))},
        "a",
    )

    assert root.statistics.changed_blocks == 256
    assert root.statistics.stored_bytes < 1.02 * 256 * BLOCK_SIZE


def test_zeros_cost_nothing(vault: Vault, memory: MemoryStore) -> None:
    with vault.begin(info("a", 16384 * GIB)) as writer:
        writer.write(0, bytes(8 * MIB))
        writer.zero(0, 16384 * GIB)
        root = writer.commit()

    assert root.statistics.segments == 0
    assert root.statistics.changed_blocks == 0
    assert sorted(memory.objects) == ["roots/a", "vault"]
    assert list(vault.open("a").extents()) == []
    assert vault.open("a").read(16383 * GIB, 3 * MIB) == bytes(3 * MIB)


def test_a_disk_that_was_zeroed_is_empty(vault: Vault) -> None:
    store(vault, "a", {0: content(rng, 100), 5 * PAGE_BLOCKS: content(rng, 100)})
    with vault.begin(info("b"), "a") as writer:
        writer.zero(0, 8 * GIB)
        root = writer.commit()

    assert list(vault.open("b").extents()) == []
    assert root.table.is_empty()
    assert list(vault.diff("a", "b")) == [
        Extent(extent.offset, extent.length, zero=True) for extent in vault.open("a").extents()
    ]


def test_a_disk_can_grow_and_not_shrink(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        disk.write(writer, 8 * GIB // BLOCK_SIZE - 2, content(rng, 2))
        writer.commit()
    bigger = Disk(40 * GIB, dict(disk.blocks))
    with vault.begin(info("b", 40 * GIB), "a") as writer:
        bigger.write(writer, 39 * GIB // BLOCK_SIZE, content(rng, 10))
        writer.commit()

    check_all(vault, {"a": disk, "b": bigger})
    assert all(extent.offset >= 39 * GIB for extent in vault.diff("a", "b"))
    with pytest.raises(VaultError, match="a disk does not shrink"):
        vault.begin(info("c"), "b")


def test_what_a_root_says_is_all_that_the_catalog_needs(vault: Vault) -> None:
    before = info(
        "a", tags={"k": "v", "flag": None}, extra={"x": "y"}, support_code="1/s", disk_zone="z"
    )
    with vault.begin(before) as writer:
        writer.commit()

    (root,), _ = vault.readable_roots()
    assert root.info == before
    assert root.parent is None
    assert root.completed_ms == 1_700_000_000_000


def test_comparing_stores_only_what_differs(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        disk.write(writer, 100, content(rng, 3000))
        writer.commit()
    other = disk.copy()
    changed = sorted(rng.sample(range(100, 3100), 30))
    for number in changed:
        other.blocks[number] = rng.randbytes(BLOCK_SIZE)
    gone = sorted(other.blocks)[7]
    del other.blocks[gone]
    length = 4000 * BLOCK_SIZE
    with vault.begin(info("b"), "a") as writer:
        for offset in range(0, length, 500 * BLOCK_SIZE):
            writer.write(offset, other.read(offset, 500 * BLOCK_SIZE), compare=True)
        root = writer.commit()

    check_all(vault, {"a": disk, "b": other})
    assert root.statistics.changed_blocks == len({*changed, gone})
    assert root.statistics.unchanged_bytes == length - len({*changed, gone}) * BLOCK_SIZE
    assert sum(extent.length for extent in vault.diff("a", "b")) == BLOCK_SIZE * len(
        {*changed, gone}
    )


def test_what_was_written_before_is_not_taken_for_the_parents(vault: Vault) -> None:
    with vault.begin(info("parent")) as writer:
        writer.write(0, block("old"))
        writer.commit()
    with vault.begin(info("child"), "parent") as writer:
        writer.write(0, block("new"))
        writer.write(0, block("old"), compare=True)
        writer.zero(BLOCK_SIZE, BLOCK_SIZE)
        writer.write(BLOCK_SIZE, bytes(BLOCK_SIZE), compare=True)
        writer.commit()

    with vault.open("child") as reader:
        assert reader.read(0, 2 * BLOCK_SIZE) == block("old") + bytes(BLOCK_SIZE)


def test_comparing_without_a_parent_stores_all(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        disk.write(writer, 0, content(rng, 300), compare=True)
        writer.commit()

    check_all(vault, {"a": disk})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_caller_may_reuse_its_buffer(vault: Vault, kind: type) -> None:
    data = bytearray(block("x") * 300)
    with vault.begin(info("a")) as writer:
        writer.write(0, kind(data))
        data[:] = bytes(len(data))
        writer.commit()

    assert vault.open("a").read(0, 300 * BLOCK_SIZE) == block("x") * 300


def test_ranges_that_do_not_fit_are_refused(vault: Vault) -> None:
    with vault.begin(info("a")) as writer:
        for offset, length in ((1, 4096), (0, 4095), (-4096, 4096)):
            with pytest.raises(VaultError, match="must be multiples of 4096"):
                writer.write(offset, bytes(length))
        with pytest.raises(VaultError, match="beyond the end of snapshot a"):
            writer.write(8 * GIB - 4096, bytes(8192))
        with pytest.raises(VaultError, match="beyond the end"):
            writer.zero(8 * GIB, 4096)
        writer.commit()
    reader = vault.open("a")
    for offset, length in ((1, 4096), (0, 4095), (-4096, 4096)):
        with pytest.raises(VaultError, match="must be multiples of 4096"):
            reader.read(offset, length)
    with pytest.raises(VaultError, match="beyond the end of snapshot a"):
        reader.read(8 * GIB, 4096)
    assert reader.read(0, 0) == b""


@pytest.mark.parametrize("size", [0, -4096, 4095, 4097, 16384 * GIB + 4096])
def test_sizes_that_cannot_be_stored_are_refused(vault: Vault, size: int) -> None:
    with pytest.raises(VaultError, match="cannot be stored"):
        vault.begin(info("a", size))


def test_ids_that_lead_elsewhere_are_refused(vault: Vault) -> None:
    for name in ("", "../x", "A", "a/b", ".", "x" * 70):
        with pytest.raises(VaultError, match="is not the id of a snapshot"):
            vault.begin(info(name))
        with pytest.raises(VaultError, match="is not the id of a snapshot"):
            vault.open(name)


def test_a_snapshot_that_is_not_there(vault: Vault) -> None:
    for call in (
        lambda: vault.open("a"),
        lambda: vault.root("a"),
        lambda: vault.begin(info("b"), "a"),
        lambda: list(vault.diff(None, "a")),
        lambda: vault.verify(["a"]),
    ):
        with pytest.raises(SnapshotNotInVaultError, match="has no snapshot a"):
            call()
    assert vault.confirm("a") is None
    assert not vault.has("a")
    vault.delete("a")


def test_a_snapshot_is_stored_once(vault: Vault) -> None:
    first = store(vault, "a", {0: block("x")})

    with pytest.raises(VaultError, match="snapshot a is already in the vault"):
        vault.begin(info("a"))
    confirmed = vault.confirm("a")
    assert confirmed is not None
    assert confirmed.claim == first.claim


def test_of_two_writers_of_one_snapshot_the_first_wins(vault: Vault, memory: MemoryStore) -> None:
    writers = [vault.begin(info("a")), vault.begin(info("a"))]
    for writer in writers:
        writer.write(0, block("x"))
    first, second = writers[1].commit(), writers[0].commit()

    assert first.claim == second.claim
    assert vault.open("a").read(0, BLOCK_SIZE) == block("x")
    assert len([name for name in memory.objects if name.startswith("segments/")]) == 1
    assert not [name for name in memory.objects if name.startswith("claims/")]


def test_a_writer_that_gives_up_leaves_nothing(vault: Vault, memory: MemoryStore) -> None:
    def fail() -> None:
        with vault.begin(info("a")) as writer:
            writer.write(0, rng.randbytes(2000 * BLOCK_SIZE))
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fail()

    assert list(memory.objects) == ["vault"]


def test_a_writer_that_is_over_says_so(vault: Vault) -> None:
    with vault.begin(info("a")) as writer:
        writer.commit()
        with pytest.raises(VaultError, match="is already committed"):
            writer.write(0, ZERO)
    with vault.begin(info("b")) as writer:
        writer.abort()
        with pytest.raises(VaultError, match="is already aborted"):
            writer.commit()


def test_reads_of_any_size_and_order(vault: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        disk.write(writer, 50, content(rng, 2000))
        writer.commit()
    with vault.open("a") as reader:
        for _ in range(200):
            first, count = rng.randrange(2100), rng.randrange(1, 300)
            offset, length = first * BLOCK_SIZE, count * BLOCK_SIZE
            assert reader.read(offset, length) == disk.read(offset, length)
        for offset in range(0, 2100 * BLOCK_SIZE, 100 * BLOCK_SIZE):
            assert reader.read(offset, 409600) == disk.read(offset, 409600)
    with pytest.raises(VaultError, match="is closed"):
        reader.read(0, 4096)


def test_many_threads_store_and_read_at_once(vault: Vault) -> None:
    disks = {f"s{number}": Disk() for number in range(6)}
    problems: list[BaseException] = []

    def work(name: str, seed: int) -> None:
        try:
            own = random.Random(seed)
            with vault.begin(info(name)) as writer:
                for first in range(0, 1500, 300):
                    disks[name].write(writer, first, content(own, 300))
                writer.commit()
            with vault.open(name) as reader:
                disks[name].check(reader)
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    threads = [threading.Thread(target=work, args=(name, seed)) for seed, name in enumerate(disks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    check_all(vault, disks)


def test_an_existing_vault_is_opened_again(memory: MemoryStore, clock: ManualClock) -> None:
    disk = Disk()
    with Vault.create_or_open(memory, clock) as vault, vault.begin(info("a")) as writer:
        first_id = vault.id
        disk.write(writer, 0, content(rng, 300))
        writer.commit()
    with Vault.create_or_open(memory, clock, VaultOptions(level=5, threads=1)) as vault:
        assert vault.id == first_id
        check_all(vault, {"a": disk})


def test_what_is_not_a_vault_is_left_alone(memory: MemoryStore, clock: ManualClock) -> None:
    memory.put("holiday.jpg", b"x")

    with pytest.raises(VaultError, match="memory is not a vault, and not empty"):
        Vault.create_or_open(memory, clock)
    assert list(memory.objects) == ["holiday.jpg"]
