"""A sealed vault: nothing in clear, nothing exchanged, wrong keys told from damage."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mooring.model.clock import ManualClock
from mooring.model.errors import DamageError, VaultError, WrongKeyError
from mooring.model.extents import BLOCK_SIZE
from mooring.vault.format import envelope, key
from mooring.vault.format.cipher import Clear, Sealed
from mooring.vault.format.frame import Kind, Packer
from mooring.vault.format.key import change_secret
from mooring.vault.format.layout import CLAIMS, FRAME_BLOCKS, KEY_NAME, ROOTS, SEGMENTS
from mooring.vault.keeping.scrub import scrub
from mooring.vault.store.memory import MemoryStore
from mooring.vault.vault import Vault
from tests.vault.conftest import SMALL
from tests.vault.disks import Disk, check_all, info

SECRET = b"correct horse battery staple"
MARK = b"a text that must not be found anywhere. "
PAGE = (MARK * 200)[:BLOCK_SIZE]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key, "SCRYPT_N", 2)


def open_sealed(store: MemoryStore, secret: bytes | None = SECRET, *, create: bool = True) -> Vault:
    return Vault.create_or_open(store, ManualClock(), SMALL, secret=secret, create=create)


@pytest.fixture
def sealed(memory: MemoryStore) -> Iterator[Vault]:
    with open_sealed(memory) as vault:
        yield vault


@pytest.fixture
def disks(sealed: Vault) -> dict[str, Disk]:
    """Two snapshots, data of both codecs, a punchable first."""
    first = Disk()
    with sealed.begin(info("one", name="namemark", tags={"tagmark": "valuemark"})) as writer:
        first.write(writer, 5, PAGE * 300)
        first.write(writer, 1000, random.Random(1).randbytes(200 * BLOCK_SIZE))
        writer.commit()
    second = first.copy()
    with sealed.begin(info("two", disk_name="diskmark"), "one") as writer:
        second.write(writer, 7, PAGE[::-1] * 3)
        second.write(writer, 1000, first.blocks[1000], compare=True)
        writer.commit()
    return {"one": first, "two": second}


def flip(data: bytes, place: int, bit: int = 1) -> bytes:
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def test_what_is_stored_is_read_and_continued(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    check_all(sealed, disks)
    with open_sealed(memory) as again:
        assert again.verify() == []
        assert again.root("one").info.tags == {"tagmark": "valuemark"}
        assert [one.zero for one in again.diff("one", "two")] == [False]
        with again.begin(info("three"), "two") as writer:
            disks["three"] = disks["two"].copy()
            disks["three"].write(writer, 0, PAGE)
            # What is compared with the parent is found out by keyed digests.
            content = b"".join(disks["two"].blocks[number] for number in range(1000, 1200))
            writer.write(1000 * BLOCK_SIZE, content, compare=True)
            root = writer.commit()
        assert root.statistics.changed_blocks == 1
        again.delete("one")
        again.collect()
        del disks["one"]
        check_all(again, disks)
        assert again.verify() == []


def test_nothing_is_in_clear(memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]) -> None:
    with (
        sealed.begin(info("three", name="namemark"), "two") as writer,
        sealed.open("one", claim=True),
    ):
        writer.write(0, PAGE)
        everything = b"".join(memory.objects.values())
        assert len([name for name in memory.objects if name.startswith(CLAIMS)]) == 2
    for word in (b"mark", MARK, b"us-east-2", b"changed_blocks", b"disk-1", disks["one"].blocks[5]):
        assert word not in everything
    digests = Packer(1).pack(PAGE * FRAME_BLOCKS, Kind.DATA)
    assert digests.content_digest not in everything


def test_equal_content_is_not_seen_to_be_equal(memory: MemoryStore, sealed: Vault) -> None:
    for name in ("a", "b"):
        with sealed.begin(info(name)) as writer:
            writer.write(0, PAGE * FRAME_BLOCKS)
            writer.commit()
    one, other = (memory.objects[name] for name in memory.names(SEGMENTS))
    tables = [data[16:48] for data in (one, other)]
    assert tables[0] != tables[1]


def test_a_wrong_secret_is_told_from_damage(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    with pytest.raises(WrongKeyError, match="it has another key file or passphrase"):
        open_sealed(memory, b"wrong")
    with pytest.raises(VaultError, match="has a key: name its key file"):
        open_sealed(memory, None)
    whole = memory.objects[KEY_NAME]
    for place in range(len(whole)):
        memory.objects[KEY_NAME] = flip(whole, place)
        with pytest.raises(DamageError):
            open_sealed(memory)
    del memory.objects[KEY_NAME]
    with pytest.raises(DamageError, match="put its object 'key' back from a copy"):
        open_sealed(memory)
    memory.objects[KEY_NAME] = whole
    with open_sealed(memory) as again:
        check_all(again, disks)


def test_a_key_that_asks_for_too_much(memory: MemoryStore, sealed: Vault) -> None:
    body = envelope.unwrap(envelope.KEY, memory.objects[KEY_NAME], "x")
    memory.objects[KEY_NAME] = envelope.wrap(
        envelope.KEY, body.replace(b'"n": 2,', b'"n": 1073741824,')
    )
    with pytest.raises(DamageError, match="too much memory"):
        open_sealed(memory)


def test_the_secret_changes_without_the_data(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    before = dict(memory.objects)
    with pytest.raises(WrongKeyError):
        change_secret(memory, b"wrong", b"new")
    assert memory.objects == before
    change_secret(memory, SECRET, b"new")
    changed = {name for name in before if memory.objects[name] != before[name]}
    assert changed == {KEY_NAME}
    with pytest.raises(WrongKeyError):
        open_sealed(memory)
    with open_sealed(memory, b"new") as again:
        check_all(again, disks)
    # Who had it open goes on.
    check_all(sealed, disks)


def test_a_key_comes_first_or_never(memory: MemoryStore) -> None:
    with Vault.create_or_open(memory, ManualClock()):
        pass
    with pytest.raises(VaultError, match="has no key, and cannot be given one"):
        open_sealed(memory)
    with pytest.raises(VaultError, match="there is no vault"):
        open_sealed(MemoryStore(), create=False)


def test_a_creation_that_was_killed_is_taken_up(memory: MemoryStore) -> None:
    with open_sealed(memory) as vault:
        vault_id = vault.id
    del memory.objects["vault"]
    with pytest.raises(WrongKeyError):
        open_sealed(memory, b"wrong")
    with open_sealed(memory) as again:
        assert again.id == vault_id


def test_the_key_of_another_vault(memory: MemoryStore, sealed: Vault) -> None:
    other = MemoryStore()
    open_sealed(other).close()
    memory.objects[KEY_NAME] = other.objects[KEY_NAME]
    with pytest.raises(DamageError, match="belongs to another vault"):
        open_sealed(memory)


def test_objects_cannot_change_places(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    memory.objects["roots/two"] = memory.objects["roots/one"]
    with pytest.raises(DamageError, match="altered or replaced"):
        sealed.root("two")


def test_clear_objects_are_refused(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    """Who can write to the store, but has no key, cannot make content."""
    other = MemoryStore()
    with Vault.create_or_open(other, ManualClock()) as clear, clear.begin(info("two")) as writer:
        writer.write(0, b"forged".ljust(BLOCK_SIZE, b"."))
        writer.commit()
    memory.objects.update({name: data for name, data in other.objects.items() if name != "vault"})
    with pytest.raises(DamageError, match="altered or replaced"):
        sealed.open("two")


def test_frames_are_bound_to_claim_and_shape() -> None:
    cipher = Sealed(bytes(range(32)))
    for packed in (b"x" * 100, b""):
        codec, stored = cipher.of_claim(b"c" * 16).seal(0, 1, 4096, packed)
        assert cipher.of_claim(b"c" * 16).open(0, codec, 4096, bytes(stored)) == (1, packed)
        for claim, kind, wrong, plain, data in (
            (b"d" * 16, 0, codec, 4096, stored),
            (b"c" * 16, 1, codec, 4096, stored),
            (b"c" * 16, 0, codec - 1, 4096, stored),
            (b"c" * 16, 0, codec, 4095, stored),
            (b"c" * 16, 0, codec, 4096, flip(bytes(stored), 3)),
            (b"c" * 16, 0, codec, 4096, b"short"),
        ):
            with pytest.raises(DamageError, match="sealed with this vault's key"):
                cipher.of_claim(claim).open(kind, wrong, plain, bytes(data))
    with pytest.raises(DamageError, match="it is not sealed"):
        cipher.of_claim(b"c" * 16).open(0, 1, 4096, b"x")
    assert Clear().digest(b"x") != cipher.digest(b"x") != Sealed(bytes(32)).digest(b"x")


def test_damage_anywhere_is_found_without_the_key(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    sound = scrub(memory)
    assert sound.problems == []
    assert sound.objects == len(memory.objects)
    assert sound.punched == 0
    chance = random.Random(7)
    for name, whole in list(memory.objects.items()):
        # The first bytes of a segment are for people.
        first = 16 if name.startswith(SEGMENTS) else 0
        for place in chance.sample(range(first, len(whole)), 25):
            memory.objects[name] = flip(whole, place, 1 << chance.randrange(8))
            assert [one for one, _ in scrub(memory).problems] == [name]
        memory.objects[name] = whole[:-1]
        assert [one for one, _ in scrub(memory).problems] == [name]
        memory.objects[name] = whole


def test_what_was_given_back_is_no_damage(
    memory: MemoryStore, sealed: Vault, disks: dict[str, Disk]
) -> None:
    with sealed.begin(info("cover"), "two") as writer:
        writer.zero(1000 * BLOCK_SIZE, 160 * BLOCK_SIZE)
        writer.commit()
    for name in ("one", "two"):
        sealed.delete(name)
    assert sealed.collect().bytes_freed > 0
    for name in list(memory.names(ROOTS)):
        assert name == "roots/cover"
    found = scrub(memory)
    assert found.problems == []
    assert found.punched > 0
    assert sealed.verify() == []
