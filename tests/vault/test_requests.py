"""How many requests a collection takes, and that they are under way together."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from mooring.model.clock import ManualClock
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.layout import CLAIMS, FRAME_BYTES, PAGE_BLOCKS, SEGMENTS
from mooring.vault.format.references import References
from mooring.vault.reading.frames import FrameKey, Frames
from mooring.vault.reading.reachable import Walk
from mooring.vault.store.abreast import AT_ONCE, Abreast
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Root, Vault, VaultOptions
from tests.vault.conftest import SMALL
from tests.vault.disks import MIB, store
from tests.vault.requests import RequestStore

DISKS = 4


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore(can_punch=False)


def fill(vault: Vault, snapshots: int) -> list[Root]:
    """Store snapshots of some disks, each with one block that changed."""
    rng = random.Random(1)
    roots: list[Root] = []
    for number in range(snapshots):
        parent = f"s{number - DISKS}" if number >= DISKS else None
        block = rng.randrange(4) * PAGE_BLOCKS + rng.randrange(100)
        roots.append(store(vault, f"s{number}", {block: rng.randbytes(BLOCK_SIZE)}, parent))
    return roots


@pytest.mark.parametrize(("blocks", "most"), [(0, 9), (1, 10)])
def test_a_small_snapshot_asks_little(
    bucket: MemoryStore, clock: ManualClock, blocks: int, most: int
) -> None:
    counting = RequestStore(bucket, lambda *_: None)
    changed = dict.fromkeys(range(blocks), b"z" * BLOCK_SIZE)
    with Vault.create_or_open(counting, clock, VaultOptions(threads=1)) as vault:
        store(vault, "s0", dict.fromkeys(range(100), b"x" * BLOCK_SIZE))
        for number in range(1, 4):
            with counting.counting():
                store(vault, f"s{number}", changed, f"s{number - 1}")
            assert counting.counts.total() <= most
            # The claim, the root, and what has changed with its part of the map.
            assert counting.counts["put"] == 2 + blocks
        assert vault.verify() == []


def test_many_roots_are_removed_side_by_side(bucket: MemoryStore, clock: ManualClock) -> None:
    counting = RequestStore(bucket, lambda *_: threading.Event().wait(0.01))
    with Vault.create_or_open(bucket, clock, SMALL) as vault:
        fill(vault, 40)
    with Vault.create_or_open(counting, clock, SMALL) as vault:
        vault.delete_all([f"s{number}" for number in range(36)] + ["none"])
        assert sorted(vault.snapshot_ids()) == ["s36", "s37", "s38", "s39"]
        assert counting.most_at_once > 4
        assert vault.verify() == []


def collected(bucket: MemoryStore, clock: ManualClock) -> list[Counter[str]]:
    """What it takes to collect in a process that knows nothing yet, and once more."""
    counting = RequestStore(bucket, lambda *_: None)
    found = []
    with Vault.create_or_open(counting, clock, SMALL) as vault:
        for _ in range(2):
            with counting.counting():
                vault.collect()
            found.append(Counter(counting.counts))
    return found


def test_a_collection_asks_little_of_each_snapshot(bucket: MemoryStore, clock: ManualClock) -> None:
    first, second = [], []
    with Vault.create_or_open(bucket, clock, SMALL) as vault:
        roots = fill(vault, 40)
        for more in (40, 80):
            if more == 80:
                parent = roots[-1].id
                for number in range(40):
                    store(vault, f"t{number}", {number: b"y" * BLOCK_SIZE}, parent)
            one, other = collected(bucket, clock)
            first.append(one.total())
            second.append(other.total())
    # The root, the segment's table twice, a directory, a page; and some for the whole.
    assert first[0] <= 40 * 5 + 15
    assert first[1] <= 80 * 5 + 15
    assert second[0] == second[1] <= 15


def test_what_a_collection_asks_it_asks_together(bucket: MemoryStore, clock: ManualClock) -> None:
    together = threading.Barrier(AT_ONCE, timeout=60)

    def meet(operation: str, name: str) -> None:
        # Goes on only when as many are under way.
        if operation == "tail" or (operation == "get" and name.startswith("roots/")):
            together.wait()

    with Vault.create_or_open(bucket, clock, SMALL) as vault:
        for number in range(3 * AT_ONCE):
            # Nothing is alike, so that nobody shares.
            store(vault, f"s{number}", {0: random.Random(number).randbytes(BLOCK_SIZE)})
        for number in range(AT_ONCE):
            vault.delete(f"s{number}")
        clock.advance(3600)
    counting = RequestStore(bucket, meet)
    with Vault.create_or_open(counting, clock, SMALL) as vault:
        done = vault.collect()
    assert done.segments_deleted == AT_ONCE
    assert done.segments_kept == 2 * AT_ONCE
    assert counting.most_at_once >= AT_ONCE


def test_verification_reads_everything_once(bucket: MemoryStore, clock: ManualClock) -> None:
    with Vault.create_or_open(bucket, clock, SMALL) as vault:
        fill(vault, 40)
    counting = RequestStore(bucket, lambda *_: None)
    with Vault.create_or_open(counting, clock, SMALL) as vault, counting.counting():
        assert vault.verify() == []
        # Of each snapshot the root, a directory, a page and a frame of data.
        assert counting.counts["get"] == 40 * 4
        assert counting.counts.total() <= 40 * 5 + 5


def meeting(first: int, matters: Callable[[str, str], bool]) -> Callable[[str, str], None]:
    """Lets requests that matter, from the `first` on, go on only when as many are under way."""
    together = threading.Barrier(AT_ONCE, timeout=60)
    numbers = itertools.count()

    def meet(operation: str, name: str) -> None:
        if matters(operation, name) and first <= next(numbers) < first + AT_ONCE:
            together.wait()

    return meet


def test_the_pages_of_one_disk_are_verified_together(
    bucket: MemoryStore, clock: ManualClock
) -> None:
    with Vault.create_or_open(bucket, clock, SMALL) as vault:
        store(vault, "a", {page * PAGE_BLOCKS: b"%4096d" % page for page in range(2 * AT_ONCE)})
    # The directory comes before them.
    meet = meeting(1, lambda operation, name: operation == "get" and name.startswith(SEGMENTS))
    counting = RequestStore(bucket, meet)
    with Vault.create_or_open(counting, clock, SMALL) as vault:
        assert vault.verify() == []
    assert counting.most_at_once >= AT_ONCE


def test_claims_are_read_together(bucket: MemoryStore, clock: ManualClock) -> None:
    meet = meeting(0, lambda operation, name: operation == "get" and name.startswith(CLAIMS))
    with Vault.create_or_open(bucket, clock, SMALL) as vault, ExitStack() as readers:
        store(vault, "a", {0: b"x" * BLOCK_SIZE})
        for _ in range(AT_ONCE):
            readers.enter_context(vault.open("a", claim=True))
        counting = RequestStore(bucket, meet)
        with Vault.create_or_open(counting, clock, SMALL) as other:
            assert other.collect().segments_kept == 1
    assert counting.most_at_once >= AT_ONCE


def puts_to_store(
    bucket: MemoryStore, clock: ManualClock, data: bytes, options: VaultOptions
) -> tuple[int, Root]:
    counting = RequestStore(bucket, lambda *_: None)
    with Vault.create_or_open(counting, clock, options) as vault, counting.counting():
        root = store(vault, "all", {0: data})
        assert vault.verify(["all"]) == []
        return counting.counts["put"], root


def test_content_of_many_disks_is_shared_with_few_puts(
    bucket: MemoryStore, clock: ManualClock
) -> None:
    frames = [random.Random(number).randbytes(FRAME_BYTES) for number in range(70)]
    with Vault.create_or_open(bucket, clock) as vault:
        for number, frame in enumerate(frames):
            store(vault, f"s{number}", {0: frame})
    puts, root = puts_to_store(bucket, clock, b"".join(frames), VaultOptions())
    assert root.statistics.shared_bytes == 70 * FRAME_BYTES
    assert puts <= root.statistics.stored_bytes / (64 * MIB) + 5


def test_a_snapshot_takes_a_put_for_each_segment_and_few_more(
    bucket: MemoryStore, clock: ManualClock
) -> None:
    old, new = (random.Random(seed).randbytes(20 * FRAME_BYTES) for seed in (1, 2))
    with Vault.create_or_open(bucket, clock) as vault:
        store(vault, "a", {0: old})
    options = VaultOptions(segment_bytes=4 * FRAME_BYTES)
    puts, root = puts_to_store(bucket, clock, new + old, options)
    assert root.statistics.shared_bytes == len(old)
    # A segment is ended when the next frame would not fit.
    assert puts <= root.statistics.stored_bytes / (3 * FRAME_BYTES) + 5


class CountingFrames(Frames):
    """Counts how often it is asked for each page."""

    pages: Counter[FrameKey]

    def page(self, key: FrameKey) -> References:
        self.pages[key] += 1
        return super().page(key)


def test_a_page_is_looked_at_once_in_however_many_snapshots(
    vault: Vault, memory: MemoryStore
) -> None:
    roots = []
    parent = None
    for number in range(12):
        page = number % 6
        parent = store(vault, f"s{number}", {page * PAGE_BLOCKS: b"%4096d" % number}, parent).id
        roots.append(vault.root(parent))
    frames = CountingFrames(memory)
    frames.pages = Counter()
    with closing(Abreast()) as abreast:
        walk = Walk(frames, abreast)
        seen: set[FrameKey] = set()
        for root in walk.ahead(roots, seen):
            for _ in walk.new_frames_of(root, seen):
                pass
        assert [walk.used_blocks(root) for root in roots] == [min(n, 6) for n in range(1, 13)]
        assert len(frames.pages) == frames.pages.total() == 12


def test_blocks_are_counted_after_what_was_known_is_forgotten(
    vault: Vault, memory: MemoryStore
) -> None:
    root = vault.root(store(vault, "a", {0: b"x" * BLOCK_SIZE * 3}).id)
    with closing(Abreast()) as abreast:
        walk = Walk(Frames(memory), abreast)
        frames = walk.frames_of(root)
        walk.forget(set())
        assert walk.used_blocks(root) == 3
        assert walk.frames_of(root).tolist() == frames.tolist()
