"""Disks of 16 TiB and long lineages cost what their changes cost."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE, GIB
from mooring.vault.format.layout import SEGMENT_BYTES
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from mooring.vault.writing.digest_index import DigestIndex
from tests.vault.disks import Disk, check_all, info

SIZE = 16384 * GIB


def scattered(seed: int, count: int, size: int = SIZE) -> dict[int, bytes]:
    rng = random.Random(seed)
    chosen = sorted(rng.sample(range(size // BLOCK_SIZE), count))
    return {block: rng.randbytes(BLOCK_SIZE) for block in chosen}


def store(vault: Vault, name: str, disk: Disk, writes: dict[int, bytes], parent: str | None) -> int:
    """Store and return the bytes that it took, the root among them."""
    with vault.begin(info(name, disk.size), parent) as writer:
        for block, data in writes.items():
            disk.write(writer, block, data)
        return writer.commit().statistics.stored_bytes


def test_16_tib_with_a_few_blocks(clock: ManualClock) -> None:
    memory = MemoryStore()
    with Vault.create_or_open(memory, clock) as vault:
        first = Disk(SIZE)
        store(vault, "a", first, scattered(1, 1000), None)
        second = first.copy()
        stored = store(vault, "b", second, scattered(2, 10), "a")

        check_all(vault, {"a": first, "b": second})
        assert stored < 10 * BLOCK_SIZE + 10 * 2500
        assert len(memory.objects["roots/b"]) < 8192
        assert sum(extent.length for extent in vault.diff("a", "b")) == 10 * BLOCK_SIZE
        assert vault.open("b").read(SIZE - BLOCK_SIZE, BLOCK_SIZE) == second.read(
            SIZE - BLOCK_SIZE, BLOCK_SIZE
        )


def test_the_cost_of_a_child_is_flat(clock: ManualClock) -> None:
    stored = {}
    for size in (8 * GIB, 1024 * GIB):
        with Vault.create_or_open(MemoryStore(), clock) as vault:
            disk = Disk(size)
            store(vault, "a", disk, scattered(1, 500, size), None)
            stored[size] = store(vault, "b", disk, scattered(2, 50, 8 * GIB), "a")

    assert stored[1024 * GIB] < 1.1 * stored[8 * GIB]


def test_a_large_snapshot_is_cut_into_segments(clock: ManualClock) -> None:
    memory = MemoryStore()
    rng = random.Random(0)
    blocks = 3 * SEGMENT_BYTES // BLOCK_SIZE // 2
    with Vault.create_or_open(memory, clock) as vault:
        with vault.begin(info("a")) as writer:
            writer.write(0, rng.randbytes(blocks * BLOCK_SIZE))
            writer.commit()
        sizes = sorted(len(data) for name, data in memory.objects.items() if "seg" in name)

    assert len(sizes) == 2
    assert 0.95 * SEGMENT_BYTES < sizes[1] < 1.01 * SEGMENT_BYTES


def test_memory_does_not_follow_the_disk(clock: ManualClock) -> None:
    """128 GiB written, all alike so that it is quick, into a store that keeps the segments."""
    piece = b"alike".ljust(BLOCK_SIZE, b".") * 8
    step = 32 * 1024 * 1024
    peaks = []
    for size in (16 * GIB, 128 * GIB):
        memory = MemoryStore()
        with Vault.create_or_open(memory, clock) as vault:
            tracemalloc.start()
            with vault.begin(info("a", size)) as writer:
                for offset in range(0, size, step):
                    writer.write(offset, piece)
                writer.commit()
            kept = sum(map(len, memory.objects.values()))
            peaks.append(tracemalloc.get_traced_memory()[1] - kept)
            tracemalloc.stop()

    assert peaks[1] < 40 * 1024 * 1024
    assert peaks[1] < 4 * peaks[0] + 8 * 1024 * 1024


@pytest.mark.full
def test_an_index_of_many_frames_takes_little_memory(tmp_path: Path) -> None:
    """300,000 frames: 150 GiB of content."""
    rng = np.random.default_rng(1)
    segments = [rng.bytes(16) for _ in range(300)]
    keys = rng.integers(0, 1 << 63, (300, 1000), np.uint64)
    numbers = np.arange(1000)
    tracemalloc.start()
    index = DigestIndex(tmp_path, 1 << 30)
    for segment, some in zip(segments, keys, strict=True):
        index.add(segment, bytes(16), numbers, some)
    for at in range(0, 300, 7):
        digest = int(keys[at, at]).to_bytes(8, "little") + bytes(24)
        assert index.find(digest) == [(segments[at], at, bytes(16))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    index.close()

    assert sum(path.stat().st_size for path in tmp_path.glob("*.run")) < 5_000_000
    assert peak < 48 * 1024 * 1024
