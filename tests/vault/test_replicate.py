"""A copy of a vault: incremental, checked, resumable, beside the use of both."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import DiskFullError, VaultAwayError, VaultBusyError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.ids import RandomIds
from mooring.vault.claims.claims import Claims
from mooring.vault.claims.exclusive import without_collectors
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format.cipher import Clear
from mooring.vault.format.layout import FRAME_BLOCKS, FRAME_BYTES, SEGMENTS
from mooring.vault.keeping.replicate import read_copied
from mooring.vault.keeping.scrub import scrub
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.interface import Store
from mooring.vault.store.memory import MemoryStore
from mooring.vault.store.roomy import RoomyStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.faults import Crash, CrashingStore, InterruptedStore, once
from tests.vault.store.buckets import service

SECRET = b"the same for both"


def opened(store: Store, clock: ManualClock, secret: bytes | None = None) -> Vault:
    return Vault.create_or_open(store, clock, SMALL, secret=secret)


def fill(vault: Vault, disks: dict[str, Disk], name: str, parent: str | None, seed: int) -> None:
    rng = random.Random(seed)
    disk = disks[parent].copy() if parent else Disk()
    with vault.begin(info(name), parent) as writer:
        disk.write(writer, rng.randrange(300), content(rng, 40 if parent else 700))
        writer.commit()
    disks[name] = disk


@pytest.fixture
def disks(vault: Vault) -> dict[str, Disk]:
    made: dict[str, Disk] = {}
    fill(vault, made, "a", None, 1)
    fill(vault, made, "b", "a", 2)
    fill(vault, made, "c", "b", 3)
    return made


def sizes(store: MemoryStore) -> int:
    return sum(len(data) for data in store.objects.values())


def test_a_copy_is_a_vault(
    vault: Vault, memory: MemoryStore, disks: dict[str, Disk], clock: ManualClock
) -> None:
    target = MemoryStore()
    told: list[tuple[str, int]] = []

    done = vault.replicate(target, on_copied=lambda root, size: told.append((root.id, size)))

    assert done.copied == ["a", "b", "c"] == [name for name, _ in told]
    assert done.copied_bytes == sum(size for _, size in told)
    assert done.problems == {}
    # Byte for byte: nothing of it is dead.
    own = {"copied"}
    assert {name: target.objects[name] for name in target.objects if name not in own} == dict(
        memory.objects
    )
    assert scrub(target).problems == []
    with opened(target, clock) as copy:
        assert copy.id == vault.id
        check_all(copy, disks)
        assert copy.verify() == []
        fill(copy, disks, "d", "c", 4)
        check_all(copy, disks)


def test_only_what_is_lacking_is_copied(
    vault: Vault, disks: dict[str, Disk], clock: ManualClock
) -> None:
    target = CrashingStore()
    vault.replicate(target)
    before, changes = sizes(target), target.operations
    again = vault.replicate(target)
    assert again.copied == []
    assert again.copied_bytes == again.segments == 0
    # A claim, made and removed, and what says that the header is there.
    assert target.operations - changes < 6

    fill(vault, disks, "d", "c", 4)
    added = vault.root("d").statistics.stored_bytes
    done = vault.replicate(target)
    assert done.copied == ["d"]
    assert done.segments == 1
    assert added <= done.copied_bytes < added + 2000
    assert sizes(target) - before < added + 2200
    with opened(target, clock) as copy:
        check_all(copy, disks)


@pytest.fixture(params=["directory", "bucket", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "bucket":
        with service() as running:
            yield running.store()
    else:
        yield MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "copy")


@pytest.mark.parametrize("secret", [None, SECRET])
def test_from_and_to_any_store(
    target: Store, tmp_path: Path, clock: ManualClock, secret: bytes | None
) -> None:
    """What was punched in the one comes thinned into the other; sealed stays sealed."""
    source = DirectoryStore(tmp_path / "vault")
    disks: dict[str, Disk] = {}
    with Vault.create_or_open(source, clock, secret=secret) as vault:
        rng = random.Random(5)
        first = Disk()
        with vault.begin(info("a")) as writer:
            first.write(writer, 0, rng.randbytes(5 * FRAME_BLOCKS * BLOCK_SIZE))
            writer.commit()
        disks["b"] = first.copy()
        with vault.begin(info("b"), "a") as writer:
            disks["b"].write(writer, 0, rng.randbytes(4 * FRAME_BLOCKS * BLOCK_SIZE))
            writer.commit()
        vault.delete("a")
        assert vault.collect().segments_punched == 1

        done = vault.replicate(target)

        assert done.copied == ["b"]
        assert done.copied_bytes < 5.1 * FRAME_BLOCKS * BLOCK_SIZE
    with Vault.create_or_open(target, clock, secret=secret, create=False) as copy:
        check_all(copy, disks)
        assert copy.verify() == []
        # And back again, from what is thinned.
        back = MemoryStore()
        assert copy.replicate(back).copied == ["b"]
    with Vault.create_or_open(back, clock, secret=secret, create=False) as again:
        check_all(again, disks)
    if secret is not None:
        with pytest.raises(VaultError, match="has a key"):
            Vault.create_or_open(target, clock)


def test_a_new_secret_follows(clock: ManualClock) -> None:
    from mooring.vault.format.key import change_secret

    source, target = MemoryStore(), MemoryStore()
    with opened(source, clock, SECRET) as vault:
        vault.replicate(target)
        change_secret(source, SECRET, b"another")
        vault.replicate(target)
    opened(target, clock, b"another").close()


def test_deletions_follow_on_request(
    vault: Vault, disks: dict[str, Disk], clock: ManualClock
) -> None:
    target = MemoryStore()
    vault.replicate(target)
    with opened(target, clock) as copy:
        fill(copy, disks, "own", "c", 9)
    vault.delete("a")
    vault.delete("b")
    vault.collect()
    assert vault.replicate(target).deleted == []
    with opened(target, clock) as copy:
        check_all(copy, disks)

    before = sizes(target)
    done = vault.replicate(target, delete=True)

    assert done.deleted == ["a", "b"]
    assert sizes(target) < before
    del disks["a"], disks["b"]
    with opened(target, clock) as copy:
        # What a server of its own stored there is nobody else's to delete.
        check_all(copy, disks)
        assert copy.verify() == []
    assert vault.replicate(target, delete=True).deleted == []


def test_a_full_copy_follows_deletions_first_of_all(
    vault: Vault, disks: dict[str, Disk], clock: ManualClock
) -> None:
    target = MemoryStore()
    vault.replicate(target)

    def check() -> None:
        if sizes(target) > limit:
            raise DiskFullError("the copy is full")

    limit = sizes(target) - 1
    full = RoomyStore(target, check)
    fill(vault, disks, "d", None, 4)
    with pytest.raises(DiskFullError):
        vault.replicate(full)
    for name in ("a", "b", "c"):
        vault.delete(name)
        del disks[name]
    vault.collect()
    # It takes its room back, and the next run, a moment later, finds that.
    with pytest.raises(DiskFullError):
        vault.replicate(full, delete=True)
    assert vault.replicate(full, delete=True).copied == ["d"]
    with opened(target, clock) as copy:
        check_all(copy, disks)
        assert copy.verify() == []


def test_what_the_copy_gave_back_comes_again(clock: ManualClock) -> None:
    """A child whose parent was deleted, and collected in the copy, before the child was there."""
    source, target = MemoryStore(), MemoryStore()
    disks: dict[str, Disk] = {}
    first = Disk()
    with Vault.create_or_open(source, clock) as vault:
        with vault.begin(info("a")) as writer:
            first.write(writer, 0, random.Random(1).randbytes(4 * FRAME_BLOCKS * BLOCK_SIZE))
            writer.commit()
        disks["b"], disks["c"] = first.copy(), first.copy()
        with vault.begin(info("b"), "a") as writer:
            disks["b"].zero(writer, 0, 3 * FRAME_BLOCKS)
            writer.commit()
        child = vault.begin(info("c"), "a")
        vault.replicate(target)
        vault.delete("a")
        vault.replicate(target, delete=True)
        with Vault.create_or_open(target, clock) as copy:
            check_all(copy, {"b": disks["b"]})
        assert sum(target.holes.values()) > 0
        disks["c"].write(child, 7, b"x" * BLOCK_SIZE)
        child.commit()

        assert vault.replicate(target, delete=True).copied == ["c"]
    with Vault.create_or_open(target, clock) as copy:
        check_all(copy, disks)
        assert copy.verify() == []


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


@pytest.mark.parametrize("kind", ["something", "another vault", "nearly"])
def test_other_places_stay_as_they_are(
    vault: Vault, disks: dict[str, Disk], clock: ManualClock, kind: str
) -> None:
    target = MemoryStore()
    if kind == "something":
        target.put("notes/a", b"x")
    elif kind == "nearly":
        target.put("roots/a", b"x")
    else:
        opened(target, clock).close()
    before = dict(target.objects)
    with pytest.raises(VaultError, match="choose an empty place for the copy"):
        vault.replicate(target)
    assert target.objects == before


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


def test_what_is_listed_as_copied(vault: Vault, disks: dict[str, Disk]) -> None:
    target = MemoryStore()
    assert read_copied(target) == set()
    vault.replicate(target)
    assert read_copied(target) == {"a", "b", "c"}


def test_beside_the_use_of_both(tmp_path: Path) -> None:
    """Servers write, delete and collect on both sides while copies are made."""
    problems: list[BaseException] = []
    over = threading.Event()
    clock = SystemClock()
    kept: dict[str, Disk] = {}

    def open_at(name: str) -> Vault:
        store = DirectoryStore(tmp_path / name)
        return Vault.create_or_open(store, clock, SMALL)

    def guarded(work: object) -> threading.Thread:
        def body() -> None:
            try:
                work()  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - told below
                problems.append(error)

        return threading.Thread(target=body)

    def server() -> None:
        own = random.Random(1)
        with open_at("vault") as vault:
            disk, names = Disk(), list[str]()
            for turn in range(14):
                name = f"s{turn}"
                with vault.begin(info(name), names[-1] if names else None) as writer:
                    disk.write(writer, own.randrange(400), content(own, 300))
                    writer.commit()
                names.append(name)
                kept[name] = disk.copy()
                if len(names) > 2:
                    gone = names.pop(own.randrange(len(names) - 1))
                    vault.delete(gone)
                    del kept[gone]
                vault.collect()

    def replicator() -> None:
        with open_at("vault") as vault:
            while not over.is_set():
                done = vault.replicate(DirectoryStore(tmp_path / "copy"), delete=True)
                assert done.problems == {}

    def other_server() -> None:
        with open_at("copy") as vault:
            while not over.is_set():
                vault.collect()
                over.wait(0.01)

    with open_at("vault") as vault:
        vault.replicate(DirectoryStore(tmp_path / "copy"))
    serving, others = guarded(server), [guarded(replicator), guarded(other_server)]
    for thread in [serving, *others]:
        thread.start()
    serving.join()
    over.set()
    for thread in others:
        thread.join()

    assert problems == []
    with open_at("vault") as vault:
        vault.replicate(DirectoryStore(tmp_path / "copy"), delete=True)
    with open_at("copy") as copy:
        check_all(copy, kept)
        assert copy.verify() == []
