"""What the vault holds is not stored again, nor collected meanwhile."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError, DiskFullError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.ids import RandomIds
from mooring.vault.claims.claims import Claims
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format import key
from mooring.vault.format.cipher import Clear
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES, SEGMENTS
from mooring.vault.format.root import Root, Statistics
from mooring.vault.store.interface import Store
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from mooring.vault.writing.digest_index import DigestIndex, Place
from mooring.vault.writing.sharing import ASK_AGAIN_SECONDS, REFRESH_SECONDS
from tests.vault.conftest import SMALL_SEGMENTS
from tests.vault.disks import Disk, check_all, content, info, store
from tests.vault.faults import Crash, CrashingStore, InterruptedStore, once
from tests.vault.turns import Turns, TurnStore

BLOCKS = 10 * FRAME_BLOCKS
DATA = random.Random(8).randbytes(BLOCKS * BLOCK_SIZE)
DISK = Disk(blocks={i: DATA[i * BLOCK_SIZE : (i + 1) * BLOCK_SIZE] for i in range(BLOCKS)})


def opened(memory: Store, clock: ManualClock, *, secret: bytes | None = None, **more: Any) -> Vault:
    options = VaultOptions(**{"threads": 1, "segment_bytes": SMALL_SEGMENTS, **more})
    return Vault.create_or_open(memory, clock, options, secret=secret)


def statistics(root: Root) -> Statistics:
    """Those of a root, after checking that nothing is counted twice or not at all."""
    done = root.statistics
    assert done.shared_bytes + done.data_bytes + done.unchanged_bytes == done.taken_bytes
    return done


def test_two_disks_with_one_content_share_it(vault: Vault) -> None:
    assert statistics(store(vault, "a", {0: DATA})).data_bytes == len(DATA)
    done = statistics(store(vault, "b", {0: DATA}))

    assert done.shared_bytes == len(DATA)
    assert done.stored_bytes < 4096
    check_all(vault, {"a": DISK, "b": DISK})
    assert sum(usage.unique_bytes for usage in vault.usage()) < 8192
    vault.delete("a")
    vault.collect()
    check_all(vault, {"b": DISK})
    assert vault.verify() == []
    vault.delete("b")
    vault.collect()
    assert objects_left(vault) == 0


def objects_left(vault: Vault) -> int:
    return vault.collect().segments_kept


def test_content_is_found_at_another_place_and_among_other_content(vault: Vault) -> None:
    store(vault, "a", {0: DATA})
    mixed = random.Random(9).randbytes(len(DATA))
    disk = Disk()
    with vault.begin(info("b")) as writer:
        disk.write(writer, 20 * FRAME_BLOCKS, mixed)
        disk.write(writer, 50 * FRAME_BLOCKS, DATA)
        disk.write(writer, 80 * FRAME_BLOCKS, mixed[: 3 * FRAME_BYTES] + DATA[3 * FRAME_BYTES :])
        done = statistics(writer.commit())

    # What this very snapshot wrote before, in a segment that is ended, is found too.
    assert done.shared_bytes >= len(DATA) + 7 * FRAME_BYTES
    check_all(vault, {"a": DISK, "b": disk})


def test_a_lost_lineage_stores_nothing_twice(vault: Vault) -> None:
    """Neither with a full comparison, nor with nothing left to compare with."""
    store(vault, "a", {0: DATA})
    with vault.begin(info("b"), "a") as writer:
        writer.write(0, DATA, compare=True)
        compared = statistics(writer.commit())
    assert (compared.unchanged_bytes, compared.stored_bytes) == (len(DATA), 0)

    vault.delete("a")
    found = statistics(store(vault, "c", {0: DATA}))
    assert found.shared_bytes == len(DATA)
    check_all(vault, {"b": DISK, "c": DISK})


def test_frames_with_zeros_in_between_are_found_too(vault: Vault) -> None:
    data = content(random.Random(3), 1000)
    first = Disk()
    with vault.begin(info("a")) as writer:
        first.write(writer, 0, data)
        once = writer.commit().statistics
    with vault.begin(info("b")) as writer:
        writer.write(0, data)
        again = writer.commit().statistics

    assert again.data_bytes < once.data_bytes / 4
    check_all(vault, {"a": first, "b": first})


def test_small_scattered_writes_are_not_looked_for(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bytes] = []

    def find(_index: DigestIndex, digest: bytes) -> list[Place]:
        looked.append(digest)
        return []

    monkeypatch.setattr(DigestIndex, "find", find)
    writes = {number * 50: DATA[number * BLOCK_SIZE :][: 3 * BLOCK_SIZE] for number in range(200)}
    store(vault, "a", writes)
    assert not looked


def test_what_is_deleted_but_not_collected_is_used_again(vault: Vault) -> None:
    store(vault, "a", {0: DATA})
    vault.delete("a")
    assert statistics(store(vault, "b", {0: DATA})).shared_bytes == len(DATA)
    vault.collect()
    check_all(vault, {"b": DISK})


def test_what_was_collected_is_stored_again(vault: Vault) -> None:
    store(vault, "a", {0: DATA})
    vault.delete("a")
    vault.collect()
    assert statistics(store(vault, "b", {0: DATA})).shared_bytes == 0
    check_all(vault, {"b": DISK})


def test_punched_and_damaged_frames_are_stored_again(memory: MemoryStore) -> None:
    with Vault.create_or_open(memory, ManualClock()) as vault:
        store(vault, "a", {0: DATA})
        store(vault, "b", {4 * FRAME_BLOCKS: bytes(reversed(DATA[: 2 * FRAME_BYTES]))}, "a")
        vault.delete("a")
        assert vault.collect().segments_punched == 1
        assert statistics(store(vault, "c", {0: DATA})).data_bytes == 2 * FRAME_BYTES
        assert vault.verify() == []

        (name,) = [one for one in memory.objects if len(memory.objects[one]) > len(DATA)]
        damaged = bytearray(memory.objects[name])
        damaged[100] ^= 1
        memory.objects[name] = bytes(damaged)
        assert statistics(store(vault, "d", {0: DATA})).data_bytes == FRAME_BYTES
        # The new snapshot is sound; those before are not.
        assert {one.snapshot_id for one in vault.verify()} == {"b", "c"}


def test_the_index_is_rebuilt(tmp_path: Path, memory: MemoryStore, clock: ManualClock) -> None:
    place = tmp_path / "index"
    with opened(memory, clock, index=place) as vault:
        store(vault, "a", {0: DATA})
    assert list(place.glob("*/*.run"))
    # Kept, then lost while nobody used it, then lost at work.
    with opened(memory, clock, index=place) as vault:
        assert statistics(store(vault, "b", {0: DATA})).shared_bytes == len(DATA)
    shutil.rmtree(place)
    with opened(memory, clock, index=place) as vault:
        assert statistics(store(vault, "c", {0: DATA})).shared_bytes == len(DATA)
        shutil.rmtree(place)
        assert statistics(store(vault, "d", {0: DATA})).shared_bytes == len(DATA)
    with opened(memory, clock) as vault:
        assert statistics(store(vault, "e", {0: DATA})).shared_bytes == len(DATA)
        check_all(vault, dict.fromkeys("abcde", DISK))


def test_what_other_servers_write_is_found_in_time(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    with opened(memory, clock) as other:
        store(other, "a", {0: DATA[::-1]})
        store(vault, "b", {0: DATA})
        clock.advance(REFRESH_SECONDS)
        assert statistics(store(other, "c", {0: DATA})).shared_bytes == len(DATA)


def test_sharing_can_be_turned_off(memory: MemoryStore, clock: ManualClock) -> None:
    with opened(memory, clock, index_bytes=0) as vault:
        store(vault, "a", {0: DATA})
        assert statistics(store(vault, "b", {0: DATA})).shared_bytes == 0


def test_a_sealed_vault_shares(
    memory: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key, "SCRYPT_N", 2)
    with opened(memory, clock, secret=b"secret") as vault:
        store(vault, "a", {0: DATA})
        done = store(vault, "b", {0: DATA}).statistics
        assert done.shared_bytes == len(DATA)
        check_all(vault, {"a": DISK, "b": DISK})


def test_what_a_running_upload_wrote_is_not_shared(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    """It may still fail, and remove it."""
    with vault.begin(info("a")) as running:
        running.write(0, DATA)
        # So much more that all of the first is in segments that can be read.
        running.write(len(DATA), random.Random(9).randbytes(40 * FRAME_BYTES))
        assert len(list(memory.names(SEGMENTS))) > len(DATA) // FRAME_BYTES
        assert statistics(store(vault, "b", {0: DATA})).shared_bytes == 0
        running.abort()
    clock.advance(ASK_AGAIN_SECONDS)
    assert statistics(store(vault, "c", {0: DATA})).shared_bytes == len(DATA)
    check_all(vault, {"b": DISK, "c": DISK})


def test_nothing_is_shared_while_a_collection_runs(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    store(vault, "a", {0: DATA})
    mark = Claims(memory, clock, RandomIds(), Clear()).to_collect()
    with vault.begin(info("b")) as writer:
        writer.write(0, DATA[: len(DATA) // 2])
        writer.write(40 * FRAME_BLOCKS * BLOCK_SIZE, b"x" * BLOCK_SIZE)
        # What is looked up is entered in order: all of the first half is, when so much is stored.
        for seed in itertools.count(1000):
            if writer.stats.data_bytes >= len(DATA) // 2:
                break
            # Other content each time, or the writer would share it with itself.
            writer.write(99 * FRAME_BYTES, random.Random(seed).randbytes(FRAME_BYTES))
        mark.release()
        clock.advance(ASK_AGAIN_SECONDS)
        writer.write(200 * FRAME_BYTES, DATA[len(DATA) // 2 :])
        done = writer.commit().statistics
    assert done.shared_bytes == len(DATA) // 2


def test_a_collector_taken_for_dead_deletes_nothing(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    """What it was about to delete is shared by then."""
    store(vault, "a", {0: DATA})
    vault.delete("a")

    def an_hour_passes() -> None:
        for name in [one for one in memory.objects if one.startswith("claims/")]:
            memory.delete(name)
        assert statistics(store(vault, "b", {0: DATA})).shared_bytes == len(DATA)

    # It looks at a segment before it deletes it.
    late = InterruptedStore(memory, once(lambda operation, _: operation == "tail", an_hour_passes))
    with (
        opened(late, clock) as stalled,
        pytest.raises(VaultError, match="the claim for a collect expired"),
    ):
        stalled.collect()
    check_all(vault, {"b": DISK})
    assert not [name for name in memory.objects if name.startswith("claims/")]


def test_an_upload_taken_for_dead_removes_nothing(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    """What it wrote is shared by then."""
    with opened(memory, clock) as other:
        stalled = other.begin(info("a"))
        stalled.write(0, DATA)
        stalled.write(len(DATA), random.Random(2).randbytes(30 * FRAME_BYTES))
        memory.delete(next(name for name in memory.objects if name.startswith("claims/")))
        clock.advance(REFRESH_SECONDS)
        assert statistics(store(vault, "b", {0: DATA})).shared_bytes > 0
        with pytest.raises(VaultError, match="the claim for snapshot a expired"):
            stalled.commit()
        stalled.abort()
    check_all(vault, {"b": DISK})


def test_a_full_disk_is_emptied_without_a_mark(memory: MemoryStore, clock: ManualClock) -> None:
    """Until there is room for one: then all is looked at anew."""

    marked: list[str] = []

    def full(operation: str, name: str) -> None:
        if operation == "put":
            if len(segments(memory)) == count:
                raise DiskFullError(name)
            marked.append(name)
        if operation == "names" and name == "segments/" and marked:
            # Somebody has begun to use what was about to be deleted.
            share()

    def share() -> None:
        if "roots/b" not in memory.objects:
            vault.delete("a")
            with vault.begin(info("b"), "c") as writer:
                writer.commit()

    with opened(memory, clock) as vault:
        store(vault, "a", {0: DATA})
        store(vault, "c", {0: DATA[::-1]})
        vault.delete("a")
        count = len(segments(memory))
        with opened(InterruptedStore(memory, full), clock) as collecting:
            collecting.collect()
        assert marked
        assert len(segments(memory)) < count
        assert set(vault.snapshot_ids()) == {"b", "c"}
        assert vault.verify() == []


def segments(memory: MemoryStore) -> list[str]:
    return [name for name in memory.objects if name.startswith("segments/")]


def test_damage_to_what_is_shared_is_never_read_as_content() -> None:
    memory, clock = MemoryStore(), ManualClock()
    disk = Disk()
    with opened(memory, clock) as vault:
        for name in ("a", "b"):
            with vault.begin(info(name)) as writer:
                disk.write(writer, 0, b"compressible".ljust(BLOCK_SIZE, b".") * 40)
                shared = writer.commit().statistics.shared_bytes
    assert shared == 40 * BLOCK_SIZE
    complaints = 0
    for name, data in memory.objects.items():
        for place in range(0, len(data), 3):
            other = MemoryStore()
            other.objects = {**memory.objects, name: flipped(data, place)}
            for snapshot in ("a", "b"):
                try:
                    with opened(other, clock) as vault, vault.open(snapshot) as reader:
                        disk.check(reader)
                except DamageError:
                    complaints += 1
            if name == "vault":
                continue
            # Whatever is damaged, the same content can be stored again, and is sound then.
            with opened(other, clock) as vault:
                store(vault, "c", dict(disk.runs()))
                check_all(vault, {"a": disk, "b": disk, "c": disk}, ["c"])
    assert complaints > 300


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


# --- all orders of what several servers do


def play(seed: int) -> tuple[int, int]:
    """A disk is deleted, collected and stored again by four servers at once.

    Returns how many bytes were shared, and how many freed.
    """
    rng = random.Random(seed)
    memory, clock = MemoryStore(can_punch=rng.random() < 0.5), ManualClock()
    with opened(memory, clock, segment_bytes=4 * FRAME_BYTES) as first:
        store(first, "a", {0: DATA})
        # Half of a segment, or all of it, is needed by nobody else when a is gone.
        rest = DISK.copy()
        with first.begin(info("rest"), "a") as writer:
            rest.write(writer, 0, bytes(reversed(DATA[: 6 * FRAME_BYTES])))
            writer.commit()
    # Long turns too: otherwise everything always overlaps.
    turns = Turns(rng, rng.choice([1, 5, 50]))
    ways = [TurnStore(memory, turns) for _ in range(4)]
    vaults = [opened(way, clock) for way in ways]
    deleted: list[int] = []
    shared: list[int] = []

    def upload(vault: Vault, name: str) -> None:
        shared.append(statistics(store(vault, name, {0: DATA})).shared_bytes)

    def collect(vault: Vault) -> None:
        for _ in range(2):
            deleted.append(vault.collect().bytes_freed)

    def collect_what_is_deleted(vault: Vault) -> None:
        vault.delete("a")
        deleted.append(vault.collect().bytes_freed)

    turns.play(
        [
            (ways[0], lambda: upload(vaults[0], "b")),
            (ways[1], lambda: upload(vaults[1], "c")),
            (ways[2], lambda: collect(vaults[2])),
            (ways[3], lambda: collect_what_is_deleted(vaults[3])),
        ]
    )
    for vault in vaults:
        vault.close()
    with opened(memory, clock) as last:
        for _ in range(2):
            check_all(last, {"rest": rest, "b": DISK, "c": DISK})
            assert last.verify() == []
            last.collect()
    return sum(shared), sum(deleted)


@pytest.mark.parametrize(
    "seeds", [range(40), pytest.param(range(40, 140), marks=pytest.mark.full)], ids=len
)
def test_whatever_the_order_nothing_needed_is_collected(seeds: range) -> None:
    results = [play(seed) for seed in seeds]

    # The orders differ: something, everything or nothing was there to be shared.
    assert any(shared == 2 * len(DATA) for shared, _ in results)
    assert any(0 < shared < 2 * len(DATA) for shared, _ in results)
    assert any(freed > 0 for _, freed in results)


# --- a crash at each operation


def scenario(vault: Vault) -> None:
    store(vault, "a", {0: DATA})
    store(vault, "b", {0: DATA})
    vault.delete("a")
    store(vault, "c", {0: DATA})
    vault.collect()
    vault.delete("b")
    vault.collect()


def count_operations() -> int:
    memory = CrashingStore()
    with opened(memory, ManualClock()) as vault:
        scenario(vault)
    return memory.operations


@pytest.mark.parametrize("crash_at", range(count_operations()))
def test_a_crash_at_any_operation_while_sharing(crash_at: int) -> None:
    crashing = CrashingStore(crash_at)
    with pytest.raises(Crash), opened(crashing, ManualClock()) as vault:
        scenario(vault)

    for seed in range(2):
        after = crashing.after_power_cut(random.Random(seed))
        clock = ManualClock()
        with opened(after, clock) as vault:
            found = set(vault.snapshot_ids())
            check_all(vault, dict.fromkeys(found, DISK))
            # What is left of dead servers' claims may keep it from sharing, not from storing.
            store(vault, "d", {0: DATA})
            vault.collect()
            check_all(vault, dict.fromkeys(found | {"d"}, DISK))
            assert vault.verify() == []
            clock.advance(MARGINS.claim_expires_ms / 1000 + 1)
            vault.collect()
            assert not [name for name in after.objects if name.startswith("claims/")]
            check_all(vault, dict.fromkeys(found | {"d"}, DISK))
            for name in found | {"d"}:
                vault.delete(name)
            vault.collect()
            assert not segments(after)
