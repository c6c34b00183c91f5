"""Collection frees what no snapshot names, beside running writers and readers."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.clock import ManualClock, SystemClock
from mooring.model.errors import (
    DamageError,
    DiskFullError,
    SnapshotNotInVaultError,
    VaultAwayError,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.margins import MARGINS
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from mooring.vault.writing.writer import SnapshotWriter
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, check_all, content, info, objects
from tests.vault.faults import InterruptedStore, once

rng = random.Random(5)


@pytest.fixture
def other(vault: Vault, memory: MemoryStore, clock: ManualClock) -> Iterator[Vault]:
    """Another server on the same vault."""
    assert vault.id
    with Vault.create_or_open(memory, clock, SMALL) as opened:
        yield opened


def fill(
    vault: Vault, snapshot_id: str, parent: str | None = None, base: Disk | None = None
) -> Disk:
    disk = Disk() if base is None else base.copy()
    with vault.begin(info(snapshot_id), parent) as writer:
        disk.write(writer, rng.randrange(2000), content(rng, 600))
        writer.commit()
    return disk


def segments(memory: MemoryStore) -> set[str]:
    return {name for name in memory.objects if name.startswith("segments/")}


def test_what_is_shared_stays_and_the_rest_goes(vault: Vault, memory: MemoryStore) -> None:
    a = fill(vault, "a")
    of_a = segments(memory)
    b = fill(vault, "b", "a", a)
    c = fill(vault, "c")
    of_c = segments(memory)

    assert vault.collect().segments_deleted == 0
    vault.delete("a")
    vault.collect()
    check_all(vault, {"b": b, "c": c})
    vault.delete("b")
    report = vault.collect(dry_run=True)
    assert segments(memory) >= of_c - of_a
    size = sum(len(memory.objects[name]) for name in segments(memory))
    done = vault.collect()

    assert done == report
    assert done.bytes_freed == size - sum(len(memory.objects[name]) for name in segments(memory))
    check_all(vault, {"c": c})
    vault.delete("c")
    vault.collect()
    assert objects(memory) == ["vault"]


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_dead_frames_are_punched_out_of_living_segments(
    tmp_path: Path, clock: ManualClock, kind: str
) -> None:
    store = MemoryStore() if kind == "memory" else DirectoryStore(tmp_path / "vault")
    with Vault.create_or_open(store, clock) as vault:
        first = Disk()
        with vault.begin(info("a")) as writer:
            first.write(writer, 0, rng.randbytes(2000 * BLOCK_SIZE))
            writer.commit()
        second = first.copy()
        with vault.begin(info("b"), "a") as writer:
            second.write(writer, 256, rng.randbytes(1024 * BLOCK_SIZE))
            writer.commit()
        assert vault.collect().segments_punched == 0
        (segment,) = {
            name for name in store.names("segments/") if store.tail(name, 0)[1] > 1500 * BLOCK_SIZE
        }
        reader = vault.open("a")
        vault.delete("a")
        before = store.allocated(segment)
        usage = vault.usage()

        expected = vault.collect(dry_run=True)
        assert store.allocated(segment) == before
        report = vault.collect()

        assert report == expected
        assert report.segments_deleted == 0
        assert report.segments_punched == 1
        assert 1000 * BLOCK_SIZE < report.bytes_freed < 1050 * BLOCK_SIZE
        assert store.allocated(segment) <= before - report.bytes_freed + 64 * 1024
        assert vault.usage() == usage
        assert vault.verify() == []
        check_all(vault, {"b": second})
        again = vault.collect()
        assert again.segments_punched == again.bytes_freed == 0
        with pytest.raises(SnapshotNotInVaultError, match="a was deleted"):
            reader.read(300 * BLOCK_SIZE, 400 * BLOCK_SIZE)


def test_frames_of_a_held_parent_are_not_punched(vault: Vault, other: Vault) -> None:
    first = Disk()
    with vault.begin(info("a")) as writer:
        first.write(writer, 0, rng.randbytes(2000 * BLOCK_SIZE))
        writer.commit()
    second = first.copy()
    with vault.begin(info("b"), "a") as writer:
        second.write(writer, 256, rng.randbytes(1024 * BLOCK_SIZE))
        writer.commit()
    third = first.copy()
    with vault.begin(info("c"), "a") as writer:
        other.delete("a")
        assert other.collect().bytes_freed == 0
        third.write(writer, 5, rng.randbytes(BLOCK_SIZE))
        writer.commit()

    other.collect()
    check_all(other, {"b": second, "c": third})


def test_nothing_is_claimed_from_a_root_that_is_being_deleted(
    vault: Vault, memory: MemoryStore
) -> None:
    """Where a rename is a copy and a deletion, for a moment there are both."""
    fill(vault, "a")
    root = memory.objects["roots/a"]
    vault.delete("a")
    memory.put("roots/a", root)

    with pytest.raises(SnapshotNotInVaultError, match="has no snapshot a"):
        vault.begin(info("b"), "a")
    with pytest.raises(SnapshotNotInVaultError, match="has no snapshot a"):
        vault.open("a", claim=True)
    assert not [name for name in memory.objects if name.startswith("claims/")]


def test_a_running_upload_is_left_alone(vault: Vault, other: Vault) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        for first in range(0, 3000, 500):
            disk.write(writer, first, content(rng, 500))
            assert other.collect().segments_deleted == 0
        writer.commit()

    assert other.collect().segments_deleted == 0
    check_all(other, {"a": disk})


def test_a_parent_deleted_meanwhile_stays_readable_for_its_child(
    vault: Vault, other: Vault
) -> None:
    a = fill(vault, "a")
    b = a.copy()
    with vault.begin(info("b"), "a") as writer:
        other.delete("a")
        assert other.collect().segments_deleted == 0
        b.write(writer, 100, content(rng, 3))
        writer.commit()

    other.collect()
    check_all(other, {"b": b})


@pytest.mark.parametrize("moment", ["segments/", "deleted/", "claims/", "roots/"])
def test_the_cover_passes_to_a_child_during_a_collection(
    vault: Vault, memory: MemoryStore, clock: ManualClock, moment: str
) -> None:
    """A child is begun and its parent deleted, or all of it once more, at each moment."""
    for generations in (1, 2):
        a = fill(vault, f"a{generations}")
        writers: list[SnapshotWriter] = []

        def pass_on(
            generations: int = generations, writers: list[SnapshotWriter] = writers
        ) -> None:
            for number in range(generations):
                name = f"{'abc'[number]}{generations}"
                writers.append(vault.begin(info(f"{'abc'[number + 1]}{generations}"), name))
                if number + 1 < generations:
                    writers.pop().commit()
                vault.delete(name)

        meanwhile = InterruptedStore(memory, lambda *_: None)
        with Vault.create_or_open(meanwhile, clock) as collecting:
            meanwhile.before = once(lambda *call: call == ("names", moment), pass_on)
            collecting.collect()
        child = writers[0].commit().id
        with vault.open(child) as reader:
            a.check(reader)
        vault.delete(child)


def test_what_is_held_no_longer_may_go_during_a_collection(
    vault: Vault, other: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    """Its map is missed by the collector that has read the claim, and nobody needs it any more."""
    b = fill(vault, "a").copy()
    writer = vault.begin(info("b"), "a")
    vault.delete("a")

    def let_go() -> None:
        b.write(writer, 0, content(rng, 8))
        writer.commit()
        assert other.collect().segments_deleted > 0

    meanwhile = InterruptedStore(memory, lambda *_: None)
    with Vault.create_or_open(meanwhile, clock) as collecting:
        meanwhile.before = once(lambda *call: call == ("names", "roots/"), let_go)
        collecting.collect()

    check_all(other, {"b": b})


def test_tombstones_go_after_some_minutes(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    fill(vault, "a")
    vault.delete("a")
    vault.collect()
    assert [name for name in memory.objects if name.startswith("deleted/a.")]
    clock.advance(MARGINS.tombstone_kept_ms / 1000 + 1)
    vault.collect()

    assert list(memory.objects) == ["vault"]


def test_a_vault_that_is_away_for_a_moment_has_no_fewer_snapshots(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    """Where its roots were to be listed, there was only the empty directory of its mount."""
    disk = fill(vault, "a")
    found = dict(memory.objects)

    def away(operation: str, name: str) -> None:
        if (operation, name) == ("names", "roots/"):
            memory.objects.clear()
        elif operation == "tail":
            memory.objects.update(found)

    with (
        Vault.create_or_open(InterruptedStore(memory, away), clock) as collecting,
        pytest.raises(VaultAwayError),
    ):
        collecting.collect()
    memory.objects.update(found)
    check_all(vault, {"a": disk})


def test_a_full_disk_can_be_emptied(vault: Vault, memory: MemoryStore, clock: ManualClock) -> None:
    def full(operation: str, name: str) -> None:
        """Not even a rename has room."""
        if operation in ("put", "rename"):
            raise DiskFullError(name)

    fill(vault, "a")
    with Vault.create_or_open(InterruptedStore(memory, full), clock) as opened:
        opened.delete("a")
        opened.collect()

    assert list(memory.objects) == ["vault"]


def test_a_reader_with_a_claim_reads_on(vault: Vault, other: Vault, memory: MemoryStore) -> None:
    a = fill(vault, "a")
    reader = vault.open("a", claim=True)
    other.delete("a")
    assert other.collect().segments_deleted == 0
    a.check(reader)
    reader.close()

    other.collect()
    assert objects(memory) == ["vault"]


def test_a_reader_without_one_is_told(vault: Vault, other: Vault) -> None:
    fill(vault, "a")
    reader = other.open("a")
    vault.delete("a")
    vault.collect()

    with pytest.raises(SnapshotNotInVaultError, match="a was deleted while it was being read"):
        list(reader.extents())


def test_what_a_dead_writer_left_goes_after_an_hour(
    other: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    calls: list[tuple[str, str]] = []
    watched = InterruptedStore(memory, lambda *call: calls.append(call))
    with Vault.create_or_open(watched, clock, SMALL) as vault:
        writer = vault.begin(info("a"))
        writer.write(0, rng.randbytes(8000 * BLOCK_SIZE))
        assert segments(memory)
        clock.advance(MARGINS.claim_expires_ms / 1000)
        assert other.collect().segments_deleted == 0
        clock.advance(1)

        report = other.collect()

        assert report.claims_expired == 1
        assert objects(memory) == ["vault"]
        calls.clear()
        with pytest.raises(VaultError, match="the claim for snapshot a expired"):
            writer.commit()
        written = [name for operation, name in calls if operation == "put"]
        # Not even for a moment was there a root that lacked something.
        assert written
        assert "roots/a" not in written
        writer.abort()
    # By now somebody might share what it wrote, so it is left to the collector.
    other.collect()
    assert objects(memory) == ["vault"]


def test_a_slow_writer_renews_its_claim(vault: Vault, other: Vault, clock: ManualClock) -> None:
    disk = Disk()
    with vault.begin(info("a")) as writer:
        for first in range(0, 10_000, 500):
            disk.write(writer, first, content(rng, 200))
            clock.advance(MARGINS.claim_renewed_seconds)
            other.collect()
        writer.commit()

    check_all(other, {"a": disk})


def test_a_claim_lost_while_the_root_is_written(
    vault: Vault, other: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    def hours_pass() -> None:
        clock.advance(MARGINS.claim_expires_ms / 1000 + 1)
        other.collect()

    late = InterruptedStore(memory, once(lambda *call: call == ("put", "roots/a"), hours_pass))
    with Vault.create_or_open(late, clock, SMALL) as stalled:
        writer = stalled.begin(info("a"))
        writer.write(0, rng.randbytes(600 * BLOCK_SIZE))
        with pytest.raises(VaultError, match="the claim for snapshot a expired"):
            writer.commit()
        writer.abort()

    assert objects(memory) == ["vault"]


def test_a_damaged_claim_stops_collection(vault: Vault, memory: MemoryStore) -> None:
    memory.put("claims/" + "ab" * 16, b"x" * 100)
    memory.put("segments/00/" + "00" * 16, b"unreferenced")

    with pytest.raises(DamageError, match=r"nothing was collected\. Remove the object claims/abab"):
        vault.collect()
    assert segments(memory)


def test_foreign_objects_stay(vault: Vault, memory: MemoryStore) -> None:
    for name in ("segments/readme", "segments/00/" + "11" * 16, "notes/a"):
        memory.put(name, b"not ours")
    before = set(memory.objects)

    vault.collect()

    assert set(memory.objects) == before


def test_collectors_writers_and_readers_all_at_once(tmp_path: Path) -> None:
    """Three servers on one directory: nothing that was committed is ever missing."""
    problems: list[BaseException] = []
    over = threading.Event()

    def server(number: int) -> None:
        own = random.Random(number)
        disks: dict[str, Disk] = {}
        store = DirectoryStore(tmp_path / "vault")
        try:
            with Vault.create_or_open(store, SystemClock(), SMALL) as vault:
                for turn in range(12):
                    name = f"s{number}-{turn}"
                    parent = own.choice([None, *disks]) if disks else None
                    disk = disks[parent].copy() if parent else Disk()
                    with vault.begin(info(name), parent) as writer:
                        if parent and own.random() < 0.3:
                            vault.delete(parent)
                            del disks[parent]
                        disk.write(writer, own.randrange(900), content(own, 200))
                        writer.commit()
                    disks[name] = disk
                    chosen = own.choice(list(disks))
                    with vault.open(chosen) as reader:
                        disks[chosen].check(reader)
                    if len(disks) > 3:
                        vault.delete(gone := next(iter(disks)))
                        del disks[gone]
                for name, disk in disks.items():
                    with vault.open(name) as reader:
                        disk.check(reader)
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    def collector() -> None:
        try:
            with Vault.create_or_open(DirectoryStore(tmp_path / "vault"), SystemClock()) as vault:
                while not over.is_set():
                    vault.collect()
                    over.wait(0.02)
        except BaseException as error:  # noqa: BLE001 - told below
            problems.append(error)

    Vault.create_or_open(DirectoryStore(tmp_path / "vault"), SystemClock()).close()
    servers = [threading.Thread(target=server, args=(number,)) for number in range(3)]
    collectors = [threading.Thread(target=collector) for _ in range(2)]
    for thread in [*servers, *collectors]:
        thread.start()
    for thread in servers:
        thread.join()
    over.set()
    for thread in collectors:
        thread.join()

    assert problems == []
    with Vault.create_or_open(DirectoryStore(tmp_path / "vault"), SystemClock()) as vault:
        assert vault.verify() == []
        vault.collect()
        assert vault.collect().segments_deleted == 0


UPLOAD_AND_HANG = """
import os, sys, time
from pathlib import Path
from mooring.model.clock import SystemClock
from mooring.vault.claims.margins import MARGINS
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.vault import Vault, VaultOptions
from mooring.vault.writing.writer import SnapshotWriter
from tests.vault.disks import info
options = VaultOptions(segment_bytes=600000)
vault = Vault.create_or_open(DirectoryStore(Path(sys.argv[1])), SystemClock(), options)
writer = vault.begin(info("a"))
writer.write(0, os.urandom(32 << 20))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_upload_leaves_nothing_for_long(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UPLOAD_AND_HANG, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) > 3

    clock = ManualClock(SystemClock().now_ms() + MARGINS.claim_expires_ms + 60_000)
    with Vault.create_or_open(DirectoryStore(tmp_path), clock) as vault:
        report = vault.collect()

    assert report.claims_expired == 1
    assert report.files_swept >= 1
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["vault"]


def test_a_claim_from_the_future_expires_once_it_is_seen_unchanged(
    vault: Vault, memory: MemoryStore, clock: ManualClock
) -> None:
    ahead = ManualClock(clock.now_ms() + 10 * 365 * 86_400_000)
    with Vault.create_or_open(memory, ahead, SMALL) as elsewhere:
        writer = elsewhere.begin(info("a"))
        writer.write(0, rng.randbytes(600 * BLOCK_SIZE))
        assert vault.collect().claims_expired == 0
        # One whose process renews it stays, for however long.
        for _ in range(30):
            for one in (ahead, clock):
                one.advance(MARGINS.claim_renewed_seconds)
            writer.write(0, rng.randbytes(BLOCK_SIZE))
            assert vault.collect().claims_expired == 0

        clock.advance(MARGINS.claim_expires_ms / 1000 - 1)
        assert vault.collect().claims_expired == 0
        clock.advance(2)
        assert vault.collect().claims_expired == 1
        assert objects(memory) == ["vault"]
        writer.abort()
