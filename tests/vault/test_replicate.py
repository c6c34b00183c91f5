"""A copy of a vault: incremental, checked, resumable, beside the use of both."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import DiskFullError, VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format.layout import FRAME_BLOCKS
from mooring.vault.keeping.replicate import read_copied
from mooring.vault.keeping.scrub import scrub
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.interface import Store
from mooring.vault.store.memory import MemoryStore
from mooring.vault.store.roomy import RoomyStore
from mooring.vault.vault import Vault
from tests.vault.conftest import SMALL
from tests.vault.copies import disks, fill, opened
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.faults import CrashingStore
from tests.vault.store.buckets import service

__all__ = ["disks"]


SECRET = b"the same for both"


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
