"""Where a store cannot punch, half-dead segments are written again without their dead frames."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import DamageError, SnapshotNotInVaultError, StoreError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format.layout import FRAME_BLOCKS, SEGMENTS, segment_id
from mooring.vault.format.segment_table import END, THINNED, WHOLE
from mooring.vault.keeping.scrub import scrub
from mooring.vault.store.interface import Store
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.faults import Crash, CrashingStore, InterruptedStore, WithoutHoles, once
from tests.vault.store.buckets import service

BLOCKS = 5 * FRAME_BLOCKS


def noise(seed: int, blocks: int) -> bytes:
    return random.Random(seed).randbytes(blocks * BLOCK_SIZE)


def fill(vault: Vault) -> dict[str, Disk]:
    """A snapshot of which its child takes over the last fifth only."""
    first = Disk()
    with vault.begin(info("a")) as writer:
        first.write(writer, 0, noise(1, BLOCKS))
        writer.commit()
    second = first.copy()
    with vault.begin(info("b"), "a") as writer:
        second.write(writer, 0, noise(2, BLOCKS - FRAME_BLOCKS))
        writer.commit()
    return {"a": first, "b": second}


@pytest.fixture(params=["memory", "directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "bucket":
        with service() as running:
            yield running.store()
    elif request.param == "memory":
        yield MemoryStore(can_punch=False)
    else:
        yield WithoutHoles(tmp_path / "vault")


def size(store: Store) -> int:
    return sum(store.tail(name, 0)[1] for name in store.names(SEGMENTS))


def forms(store: Store) -> list[int]:
    return sorted(END.unpack(store.tail(name, END.size)[0])[1] for name in store.names(SEGMENTS))


def test_the_room_of_dead_frames_comes_back(store: Store, clock: ManualClock) -> None:
    with Vault.create_or_open(store, clock) as vault:
        disks = fill(vault)
        assert vault.collect().bytes_freed == 0
        reader = vault.open("a")
        usage = {one.snapshot_id: one for one in vault.usage()}
        vault.delete("a")
        before = size(store)

        expected = vault.collect(dry_run=True)
        assert size(store) == before
        report = vault.collect()

        assert report == expected
        assert report.segments_rewritten == 1
        assert report.segments_deleted == report.segments_punched == 0
        assert report.bytes_freed == before - size(store)
        dead = (BLOCKS - FRAME_BLOCKS) * BLOCK_SIZE
        assert abs(report.bytes_freed - dead) < 4096
        assert forms(store) == [WHOLE, THINNED]
        assert usage["a"].unique_bytes <= report.bytes_freed + 4096
        del disks["a"]
        check_all(vault, disks)
        assert vault.verify() == []
        assert scrub(store).problems == []
        assert scrub(store).punched > 0
        again = vault.collect()
        assert again.segments_rewritten == again.bytes_freed == 0
        with pytest.raises(SnapshotNotInVaultError, match="a was deleted"):
            reader.read(0, BLOCKS * BLOCK_SIZE)
    with Vault.create_or_open(store, clock) as vault:
        check_all(vault, disks)
        with vault.begin(info("c"), "b") as writer:
            disks["c"] = disks["b"].copy()
            disks["c"].write(writer, 3, noise(3, 2))
            writer.commit()
        check_all(vault, disks)
        for name in disks:
            vault.delete(name)
        vault.collect()
    assert list(store.names(SEGMENTS)) == []


def test_less_than_half_waits(clock: ManualClock) -> None:
    store = MemoryStore(can_punch=False)
    with Vault.create_or_open(store, clock) as vault:
        for name, parent, changed in (("a", None, BLOCKS), ("b", "a", 2 * FRAME_BLOCKS)):
            with vault.begin(info(name), parent) as writer:
                writer.write(0, noise(len(name) + changed, changed))
                writer.commit()
        assert MARGINS.rewrite_at_least < 2 * FRAME_BLOCKS * BLOCK_SIZE
        vault.delete("a")
        assert vault.collect().bytes_freed == 0


def test_whoever_reads_meanwhile_finds_the_frames_again(clock: ManualClock) -> None:
    """Another server, and a reader that knows the old places."""
    store = MemoryStore(can_punch=False)
    with Vault.create_or_open(store, clock) as one, Vault.create_or_open(store, clock) as other:
        disks = fill(one)
        reader, held = other.open("b"), other.open("a", claim=True)
        assert reader.read(0, BLOCK_SIZE) == disks["b"].read(0, BLOCK_SIZE)
        one.delete("a")
        assert one.collect().bytes_freed == 0
        disks["a"].check(held)
        held.close()

        assert one.collect().segments_rewritten == 1

        disks["b"].check(reader)
        with other.begin(info("c"), "b") as writer:
            disks["c"] = disks["b"].copy()
            disks["c"].write(writer, BLOCKS - 2, noise(5, 4), compare=True)
            writer.commit()
        del disks["a"]
        check_all(other, disks)
        assert other.usage() == one.usage()


def test_a_damaged_frame_that_is_needed_stays_as_it_is(clock: ManualClock) -> None:
    store = MemoryStore(can_punch=False)
    with Vault.create_or_open(store, clock) as vault:
        fill(vault)
        vault.delete("a")
        name = max(store.objects, key=lambda one: len(store.objects[one]) > BLOCKS * BLOCK_SIZE)
        data = bytearray(store.objects[name])
        data[16 + (BLOCKS - 10) * BLOCK_SIZE] ^= 1
        store.objects[name] = bytes(data)

        report = vault.collect()

        assert store.objects[name] == bytes(data)
        (damage,) = vault.verify()
        assert damage.snapshot_id == "b"
        assert report.segments_deleted == 0


def test_one_that_fails_leaves_all_as_it_was(clock: ManualClock) -> None:
    memory = MemoryStore(can_punch=False)
    store = InterruptedStore(memory, lambda *_: None)

    def fail(operation: str, name: str) -> None:
        if operation == "upload":
            raise StoreError("the network is down")

    with Vault.create_or_open(store, clock) as vault:
        disks = fill(vault)
        vault.delete("a")
        del disks["a"]
        before = dict(memory.objects)
        store.before = fail
        with pytest.raises(StoreError):
            vault.collect()
        assert {name: memory.objects.get(name) for name in before} == before
        store.before = lambda *_: None
        assert vault.collect().segments_rewritten == 1
        check_all(vault, disks)


def scenario(vault: Vault) -> dict[str, Disk]:
    disks = fill(vault)
    vault.delete("a")
    vault.collect()
    return disks


def operations() -> range:
    """Those of the deletion and the collection."""
    store = CrashingStore()
    store.can_punch = False
    with Vault.create_or_open(store, ManualClock()) as vault:
        fill(vault)
        first = store.operations
        vault.delete("a")
        vault.collect()
    return range(first, store.operations)


@pytest.mark.parametrize("crash_at", operations())
def test_a_crash_at_any_operation(crash_at: int) -> None:
    store = CrashingStore(crash_at)
    store.can_punch = False
    with pytest.raises(Crash), Vault.create_or_open(store, ManualClock()) as vault:
        scenario(vault)
    whole = MemoryStore()
    with Vault.create_or_open(whole, ManualClock()) as vault:
        disks = fill(vault)
    for seed in range(3):
        found = store.after_power_cut(random.Random(seed))
        with Vault.create_or_open(found, ManualClock()) as vault:
            ids = set(vault.snapshot_ids())
            assert {"b"} <= ids
            check_all(vault, {name: disks[name] for name in ids})
            vault.delete("a")
            vault.collect()
            check_all(vault, {"b": disks["b"]})
            assert forms(found) == [WHOLE, THINNED]


def test_a_flipped_bit_is_never_read_as_content() -> None:
    store = MemoryStore(can_punch=False)
    with Vault.create_or_open(store, ManualClock()) as vault:
        disk = fill(vault)["b"]
        vault.delete("a")
        vault.collect()
    thinned = next(
        name
        for name in store.names(SEGMENTS)
        if END.unpack(store.tail(name, END.size)[0])[1] == THINNED
    )
    whole = store.objects[thinned]
    complaints = 0
    places = [*range(16, len(whole), 9001), *range(len(whole) - 900, len(whole))]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        store.objects[thinned] = bytes(data)
        with Vault.create_or_open(store, ManualClock()) as vault, vault.open("b") as reader:
            try:
                assert reader.read(0, BLOCKS * BLOCK_SIZE) == disk.read(0, BLOCKS * BLOCK_SIZE)
            except DamageError:
                complaints += 1
                assert scrub(store).problems
    # What is left of a's own map is needed by nobody; the rest of the segment is.
    assert complaints > 0.9 * len(places)


def test_two_collectors_at_once(clock: ManualClock) -> None:
    """The slower one saw less as dead than the one that overtakes it."""
    memory = MemoryStore(can_punch=False)
    store = InterruptedStore(memory, lambda *_: None)

    def written_again(operation: str, name: str) -> bool:
        return operation == "put" and segment_id(name) is not None and name in memory.objects

    with Vault.create_or_open(store, clock) as one, Vault.create_or_open(store, clock) as other:
        disks = fill(one)
        one.delete("a")
        del disks["a"]

        def overtake() -> None:
            with other.begin(info("c"), "b") as writer:
                disks["c"] = disks["b"].copy()
                disks["c"].write(writer, 1, noise(7, 3))
                writer.commit()
            other.collect()

        store.before = once(written_again, overtake)
        one.collect()

        check_all(other, disks)
        assert one.verify() == []
        other.delete("b")
        other.delete("c")
        other.collect()
    assert list(store.names(SEGMENTS)) == []


def test_servers_and_collectors_all_at_once(tmp_path: Path) -> None:
    problems: list[BaseException] = []
    over = threading.Event()

    def opened() -> Vault:
        return Vault.create_or_open(WithoutHoles(tmp_path / "vault"), SystemClock())

    def server(number: int) -> None:
        own = random.Random(number)
        try:
            with opened() as vault:
                disk, last = Disk(), None
                for turn in range(8):
                    name = f"s{number}-{turn}"
                    with vault.begin(info(name), last) as writer:
                        disk.write(writer, own.randrange(300), content(own, 500))
                        writer.commit()
                    if last is not None:
                        vault.delete(last)
                    last = name
                    with vault.open(name) as reader:
                        over.wait(0.01)
                        disk.check(reader)
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    def collector() -> None:
        try:
            with opened() as vault:
                while not over.is_set():
                    rewritten.append(vault.collect().segments_rewritten)
                    over.wait(0.01)
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    rewritten: list[int] = []
    opened().close()
    servers = [threading.Thread(target=server, args=(number,)) for number in range(2)]
    collectors = [threading.Thread(target=collector) for _ in range(2)]
    for thread in [*servers, *collectors]:
        thread.start()
    for thread in servers:
        thread.join()
    over.set()
    for thread in collectors:
        thread.join()

    assert problems == []
    with opened() as vault:
        assert vault.verify() == []
    assert sum(rewritten) > 0
