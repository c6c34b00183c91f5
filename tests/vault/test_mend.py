"""Damage is mended from a copy or a disk, or told; never with wrong bytes."""

from __future__ import annotations

import random

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import VaultError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.claims.margins import MARGINS
from mooring.vault.format.layout import FRAME_BLOCKS, ROOTS, SEGMENTS
from mooring.vault.keeping.scrub import scrub
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault, VaultOptions
from tests.vault.disks import Disk, check_all, content, info
from tests.vault.faults import Crash, CrashingStore

SECRET = b"of both"


class Live:
    """A disk as it is now."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    @property
    def size(self) -> int:
        return self.disk.size

    def read(self, offset: int, length: int) -> bytes:
        return self.disk.read(offset, length)


def opened(store: MemoryStore, secret: bytes | None = None, ms: int = 0) -> Vault:
    clock = ManualClock(1_700_000_000_000 + ms)
    return Vault.create_or_open(store, clock, VaultOptions(segment_bytes=1 << 20), secret=secret)


def make(secret: bytes | None = None) -> tuple[dict[str, bytes], dict[str, Disk]]:
    """Two snapshots, in several segments."""
    memory = MemoryStore()
    rng = random.Random(1)
    first = Disk()
    with opened(memory, secret) as vault:
        with vault.begin(info("a")) as writer:
            first.write(writer, 0, rng.randbytes(2 * FRAME_BLOCKS * BLOCK_SIZE))
            first.write(writer, 9000, content(rng, 3 * FRAME_BLOCKS))
            writer.commit()
        second = first.copy()
        with vault.begin(info("b"), "a") as writer:
            second.write(writer, 100, content(rng, 30))
            writer.commit()
    return memory.objects, {"a": first, "b": second}


OBJECTS, DISKS = make()


def store_with(objects: dict[str, bytes]) -> MemoryStore:
    memory = MemoryStore()
    memory.objects = dict(objects)
    return memory


def flipped(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << place % 8
    return bytes(changed)


def test_any_damage_is_mended_from_a_copy() -> None:
    """One place, many places, lost objects: the vault is, byte for byte, what it was."""
    rng = random.Random(2)
    names = sorted(name for name in OBJECTS if name.startswith((ROOTS, SEGMENTS)))
    for turn in range(40):
        memory = store_with(OBJECTS)
        for name in rng.sample(names, 1 if turn % 2 else len(names)):
            data = OBJECTS[name]
            kind = rng.randrange(4)
            if kind == 0 and name.startswith(SEGMENTS):
                del memory.objects[name]
            elif kind == 1:
                memory.objects[name] = data[: rng.randrange(len(data))]
            else:
                near_the_end = kind == 2
                low = max(16, len(data) - 900) if near_the_end else 16
                memory.objects[name] = flipped(data, rng.randrange(low, len(data)))
        with opened(memory) as vault:
            done = vault.mend([store_with(OBJECTS)])
            assert done.left == []
            check_all(vault, DISKS)
            assert vault.verify() == []
        assert scrub(memory).problems == []
        assert done.roots or done.frames
        assert memory.objects == OBJECTS


def test_a_sound_vault_stays_as_it_is() -> None:
    memory = store_with(OBJECTS)
    with opened(memory) as vault:
        done = vault.mend([store_with(OBJECTS)])
    assert (done.roots, done.frames, done.segments, done.left) == ([], 0, 0, [])
    assert memory.objects == OBJECTS


def test_two_damaged_vaults_make_one_sound_one() -> None:
    """Each has lost something else of the same segments."""
    name = max(OBJECTS, key=lambda one: len(OBJECTS[one]))
    one, other = store_with(OBJECTS), store_with(OBJECTS)
    one.objects[name] = flipped(OBJECTS[name], 500)
    other.objects[name] = flipped(OBJECTS[name], 600_000)
    with opened(one) as vault, opened(other) as copy:
        assert vault.mend([other]).frames == 1
        assert copy.verify() != []
        assert copy.mend([one]).frames == 1
    assert one.objects == other.objects == OBJECTS


def test_what_no_copy_has_is_told_and_stays() -> None:
    name = max(OBJECTS, key=lambda one: len(OBJECTS[one]))
    damaged = flipped(flipped(OBJECTS[name], 500), 600_000)
    memory, copy = store_with(OBJECTS), store_with(OBJECTS)
    memory.objects[name] = damaged
    memory.objects["roots/b"] = copy.objects["roots/b"] = b"no root"
    copy.objects[name] = flipped(OBJECTS[name], 501)

    with opened(memory) as vault:
        done = vault.mend([copy])

        assert done.frames == 1
        left = {damage.snapshot_id: damage for damage in done.left}
        assert set(left) == {"a", "b"}
        assert [one.end - one.offset for one in left["a"].extents] == [FRAME_BLOCKS * BLOCK_SIZE]
        assert "the root of snapshot b is damaged" in left["b"].problem
    assert memory.objects[name] == flipped(OBJECTS[name], 500)
    assert memory.objects["roots/b"] == b"no root"


def test_a_copy_that_gave_back_more(clock: ManualClock) -> None:
    """Frames come from a thinned segment too, and dead ones are not needed."""
    copy = MemoryStore(can_punch=False)
    with opened(store_with(OBJECTS)) as vault:
        vault.replicate(copy)
    memory = store_with(OBJECTS)
    with opened(memory) as vault, opened(copy) as second:
        for one in (vault, second):
            one.delete("a")
            one.collect()
        for name in list(memory.objects):
            if name.startswith(SEGMENTS):
                del memory.objects[name]
        done = vault.mend([copy])
        assert done.left == []
        check_all(vault, {"b": DISKS["b"]})
        assert vault.verify() == []


def test_a_copy_of_another_vault_is_refused() -> None:
    other = MemoryStore()
    opened(other).close()
    with opened(store_with(OBJECTS)) as vault:
        with pytest.raises(VaultError, match="is not a copy of the vault"):
            vault.mend([other])
        with pytest.raises(VaultError, match="it holds nothing"):
            vault.mend([MemoryStore()])


@pytest.mark.parametrize("secret", [None, SECRET])
def test_data_comes_back_from_a_disk(secret: bytes | None) -> None:
    """Every frame of data is damaged; what the disk still has in whole frames is mended."""
    objects, disks = make(secret)
    # The disk at two times: what b wrote into a frame of a makes that useless, but for a's time.
    live = [disks["a"].copy(), disks["b"].copy()]
    for disk in live:
        for block in range(9000, 9003):
            disk.blocks[block] = b"x" * BLOCK_SIZE
    with opened(store_with(objects), secret) as vault:
        frames = {
            (segment, number): table
            for name in objects
            if name.startswith(SEGMENTS)
            for segment in [bytes.fromhex(name[-32:])]
            for table in [vault._workshop.frames.table(segment)]
            for number in range(len(table))
            if table.kinds[number] == 0
        }
    memory = store_with(objects)
    for (segment, number), table in frames.items():
        name = f"{SEGMENTS}{segment.hex()[:2]}/{segment.hex()}"
        entry = table.entry(number)
        # Behind the nonce: what was sealed cannot be made again without that.
        place = entry.offset + min(20, entry.stored - 1)
        memory.objects[name] = flipped(memory.objects[name], place)

    with opened(memory, secret) as vault:
        before = {one.snapshot_id: one for one in vault.verify()}
        done = vault.mend([], [Live(Disk(4096)), Live(live[1])])
        assert done.frames >= 3
        assert any(one.offset == 0 for one in done.left[0].extents)
        done = vault.mend([], [Live(disk) for disk in live])
        assert done.frames >= 1
        assert {one.snapshot_id for one in done.left} == set(before) == {"a", "b"}
        # Nothing is left but what the disk has written over.
        for damage in done.left:
            for extent in damage.extents:
                assert 9000 * BLOCK_SIZE <= extent.offset < extent.end <= 9088 * BLOCK_SIZE
        with vault.open("b") as reader:
            for first in (0, 200, 9500):
                offset = first * BLOCK_SIZE
                assert reader.read(offset, BLOCK_SIZE) == disks["b"].read(offset, BLOCK_SIZE)
        # And the rest from a copy.
        assert vault.mend([store_with(objects)]).left == []
    assert memory.objects == objects


def damaged_objects() -> dict[str, bytes]:
    objects = dict(OBJECTS)
    for name in OBJECTS:
        if name.startswith(SEGMENTS):
            objects[name] = flipped(OBJECTS[name], len(OBJECTS[name]) // 2)
    objects["roots/a"] = flipped(OBJECTS["roots/a"], 30)
    return objects


def operations() -> int:
    memory = CrashingStore()
    memory.objects = damaged_objects()
    with opened(memory) as vault:
        assert vault.mend([store_with(OBJECTS)]).left == []
    return memory.operations


@pytest.mark.parametrize("crash_at", range(operations()))
def test_a_crash_at_any_operation(crash_at: int) -> None:
    memory = CrashingStore(crash_at)
    memory.objects = damaged_objects()
    with pytest.raises(Crash), opened(memory) as vault:
        vault.mend([store_with(OBJECTS)])
    for seed in range(3):
        found = memory.after_power_cut(random.Random(seed))
        for name, data in found.objects.items():
            if not name.startswith("claims/"):
                assert data in (OBJECTS[name], damaged_objects()[name])
        with opened(found, ms=MARGINS.claim_expires_ms + 1) as vault:
            assert vault.mend([store_with(OBJECTS)]).left == []
            check_all(vault, DISKS)
            vault.collect()
        assert found.objects == OBJECTS
