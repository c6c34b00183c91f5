"""A changed byte anywhere is either complained of or without effect."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError, SnapshotNotInVaultError
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.vault.format.layout import PAGE_BLOCKS, PAGE_BYTES
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.disks import Disk, check_all, info

rng = random.Random(11)


def make() -> tuple[dict[str, bytes], dict[str, Disk]]:
    """A small vault: two snapshots, two pages, compressed frames and plain ones."""
    memory = MemoryStore()
    first = Disk()
    with Vault.create_or_open(memory, ManualClock()) as vault:
        with vault.begin(info("a")) as writer:
            first.write(writer, 5, b"compressible".ljust(BLOCK_SIZE, b"x") * 3)
            first.write(writer, PAGE_BLOCKS + 9, rng.randbytes(BLOCK_SIZE))
            writer.commit()
        second = first.copy()
        with vault.begin(info("b"), "a") as writer:
            second.write(writer, 6, b"other".ljust(BLOCK_SIZE, b"."))
            writer.commit()
    return memory.objects, {"a": first, "b": second}


OBJECTS, DISKS = make()


def places() -> Iterator[tuple[str, int]]:
    for name, data in OBJECTS.items():
        near = [*range(48), *range(len(data) - 700, len(data))]
        far = range(0, len(data), 97)
        yield from ((name, place) for place in sorted({*near, *far}) if 0 <= place < len(data))


def try_everything(memory: MemoryStore) -> tuple[int, int]:
    """Read all that can be read; return how many times that was right, and refused."""
    right = refused = 0
    named: list[bool] = []
    try:
        vault = Vault.create_or_open(memory, ManualClock())
    except DamageError:
        return 0, 1
    with vault:
        for name, disk in DISKS.items():
            try:
                with vault.open(name) as reader:
                    disk.check(reader)
                    assert reader.read(0, 64 * BLOCK_SIZE) == disk.read(0, 64 * BLOCK_SIZE)
                right += 1
            except DamageError as error:
                named.append(f"snapshot {name}" in str(error))
                refused += 1
        try:
            assert list(vault.diff("a", "b")) == [Extent(6 * BLOCK_SIZE, BLOCK_SIZE)]
        except DamageError:
            refused += 1
    assert all(named)
    return right, refused


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.full), 11])
def test_a_flipped_bit_is_never_read_as_content(step: int) -> None:
    complaints = harmless = 0
    chosen = list(places())[::step]
    for name, place in chosen:
        memory = MemoryStore()
        memory.objects = dict(OBJECTS)
        data = bytearray(OBJECTS[name])
        data[place] ^= 1 << place % 8
        memory.objects[name] = bytes(data)
        right, refused = try_everything(memory)
        assert right == 2 or refused > 0
        complaints += refused > 0
        if refused == 0:
            harmless += 1
            # Only what tells people what file this is can change without effect.
            assert name.startswith("segments/")
            assert place < 16, (name, place)
    assert complaints + harmless == len(chosen) > 100
    assert harmless <= 2 * 16


@pytest.mark.parametrize("kept", [0, 1, 40, -1, -16, -60])
def test_a_shortened_object_is_complained_of(kept: int) -> None:
    for name in OBJECTS:
        memory = MemoryStore()
        memory.objects = {**OBJECTS, name: OBJECTS[name][:kept]}
        assert try_everything(memory)[1] > 0


def test_a_lost_segment_is_damage() -> None:
    for name in OBJECTS:
        if name.startswith("segments/"):
            memory = MemoryStore()
            memory.objects = {key: data for key, data in OBJECTS.items() if key != name}
            assert try_everything(memory)[1] > 0


def test_a_root_under_another_name_is_damage() -> None:
    memory = MemoryStore()
    memory.objects = {**OBJECTS, "roots/a": OBJECTS["roots/b"]}

    with (
        Vault.create_or_open(memory, ManualClock()) as vault,
        pytest.raises(DamageError, match="it belongs to snapshot b"),
    ):
        vault.open("a")


def damaged(name: str, place: int) -> MemoryStore:
    data = bytearray(OBJECTS[name])
    data[place] ^= 1
    memory = MemoryStore()
    memory.objects = {**OBJECTS, name: bytes(data)}
    return memory


def segment_of(snapshot: str) -> str:
    """The segment that was written for a snapshot: there is one for each."""
    memory = MemoryStore()
    memory.objects = {key: data for key, data in OBJECTS.items() if key != "roots/b"}
    with Vault.create_or_open(memory, ManualClock()) as vault:
        vault.collect()
    (first,) = [key for key in memory.objects if key.startswith("segments/")]
    (second,) = [key for key in OBJECTS if key.startswith("segments/") and key != first]
    return first if snapshot == "a" else second


def test_verification_names_snapshots_and_ranges() -> None:
    # The frame of a's four blocks; b has changed one of them.
    with Vault.create_or_open(damaged(segment_of("a"), 20), ManualClock()) as vault:
        found = {damage.snapshot_id: damage for damage in vault.verify()}

        assert set(found) == {"a", "b"}
        far = Extent((PAGE_BLOCKS + 9) * BLOCK_SIZE, BLOCK_SIZE)
        assert list(found["a"].extents) == [Extent(5 * BLOCK_SIZE, 3 * BLOCK_SIZE), far]
        assert list(found["b"].extents) == [
            Extent(5 * BLOCK_SIZE, BLOCK_SIZE),
            Extent(7 * BLOCK_SIZE, BLOCK_SIZE),
            far,
        ]
        assert "another digest" in found["a"].problem
        assert [damage.snapshot_id for damage in vault.verify(["b"])] == ["b"]


def test_reading_beside_the_damage_goes_on() -> None:
    with Vault.create_or_open(damaged(segment_of("b"), 20), ManualClock()) as vault:
        reader = vault.open("b")
        assert reader.read(5 * BLOCK_SIZE, BLOCK_SIZE) == DISKS["b"].blocks[5]
        with pytest.raises(DamageError, match="snapshot b is damaged in bytes 24576 to 28671"):
            reader.read(0, 16 * BLOCK_SIZE)
        with vault.open("a") as other:
            DISKS["a"].check(other)


def test_verification_of_lost_maps_and_roots() -> None:
    memory = MemoryStore()
    memory.objects = {key: data for key, data in OBJECTS.items() if key != segment_of("b")}
    with Vault.create_or_open(memory, ManualClock()) as vault:
        (damage,) = vault.verify()
        assert damage.snapshot_id == "b"
        # Only b's own directory is lost, and with it what of the disk it describes.
        assert list(damage.extents) == [Extent(0, DISKS["b"].size)]
        assert "missing" in damage.problem
    with Vault.create_or_open(damaged("roots/a", 30), ManualClock()) as vault:
        (damage,) = vault.verify()
        assert damage.snapshot_id == "a"
        assert not damage.extents


def test_a_sample_finds_damage_sooner_or_later() -> None:
    with Vault.create_or_open(damaged(segment_of("a"), 20), ManualClock()) as vault:
        results = [bool(vault.verify(sample=0.5)) for _ in range(40)]

    assert any(results)
    assert not all(results)


def test_nothing_is_collected_while_something_is_not_known() -> None:
    for name, place in (("roots/a", 30), (segment_of("b"), -30)):
        memory = damaged(name, place)
        memory.put("segments/00/" + "00" * 16, b"unreferenced")
        before = set(memory.objects)
        with Vault.create_or_open(memory, ManualClock()) as vault:
            with pytest.raises(DamageError, match=r"nothing was collected.*snapshot [ab]"):
                vault.collect()
            assert set(memory.objects) == before
            vault.delete("a" if name == "roots/a" else "b")
            assert vault.collect().segments_deleted >= 1


def test_a_snapshot_deleted_and_collected_while_read() -> None:
    memory = MemoryStore()
    memory.objects = dict(OBJECTS)
    with Vault.create_or_open(memory, ManualClock()) as vault:
        reader = vault.open("b")
        vault.delete("b")
        vault.collect()
        with pytest.raises(SnapshotNotInVaultError, match="b was deleted while it was being read"):
            reader.read(0, PAGE_BYTES)
        check_all(vault, {"a": DISKS["a"]})
