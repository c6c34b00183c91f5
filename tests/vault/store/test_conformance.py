"""What every store promises, shown on each of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.host.pace import Pace
from mooring.model.clock import ManualClock
from mooring.model.errors import ObjectNotFoundError, StoreError, VaultAwayError
from mooring.vault.store.directory import DirectoryStore
from mooring.vault.store.interface import Store
from mooring.vault.store.limited import LimitedStore
from mooring.vault.store.memory import MemoryStore
from tests.vault.store.buckets import URL, Service, given_store, service

MAKERS: dict[str, Callable[[Path, Service], Store]] = {
    "limited": lambda _path, _service: LimitedStore(MemoryStore(), Pace(ManualClock(), 1 << 20)),
    "directory": lambda path, _: DirectoryStore(path / "vault"),
    "memory": lambda _path, _service: MemoryStore(),
    "s3": lambda _, service: service.store(),
}
if URL in os.environ:
    MAKERS["given"] = lambda _path, _service: given_store()


@pytest.fixture(scope="module")
def s3() -> Iterator[Service]:
    with service() as running:
        yield running


@pytest.fixture(params=sorted(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: Service) -> Iterator[Store]:
    made = MAKERS[request.param](tmp_path, s3)
    yield made
    if request.param == "given":
        for name in list(made.names("")):
            made.delete(name)
    made.close()


def test_an_object_is_read_whole_and_in_parts(store: Store) -> None:
    assert store.put("a/b", b"0123456789")

    assert store.get("a/b") == b"0123456789"
    assert store.get("a/b", 3, 4) == b"3456"
    assert store.get("a/b", 8, 10) == b"89"
    assert store.get("a/b", 10, 5) == b""
    assert store.get("a/b", 4) == b"456789"
    assert store.get("a/b", 0, 0) == b""


def test_the_tail_comes_with_the_size(store: Store) -> None:
    store.put("a", b"0123456789")

    assert store.tail("a", 3) == (b"789", 10)
    assert store.tail("a", 0) == (b"", 10)
    assert store.tail("a", 99) == (b"0123456789", 10)


def test_an_object_that_is_not_there_is_an_error(store: Store) -> None:
    store.put("there", b"x")
    for call in (
        lambda: store.get("a/b"),
        lambda: store.tail("a/b", 1),
        lambda: store.allocated("a/b"),
        lambda: store.get("there/below"),
    ):
        with pytest.raises(ObjectNotFoundError, match="no object"):
            call()


def test_put_replaces_unless_told_not_to(store: Store) -> None:
    assert store.put("a", b"first", replace=False)
    assert not store.put("a", b"second", replace=False)
    assert store.get("a") == b"first"
    assert store.put("a", b"third")
    assert store.get("a") == b"third"


def test_of_many_who_put_at_once_one_wins(store: Store) -> None:
    won: list[int] = []
    start = threading.Barrier(8)

    def race(number: int) -> None:
        start.wait()
        if store.put("a/b", b"%d" % number, replace=False):
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert store.get("a/b") == b"%d" % won[0]
    assert list(store.names("")) == ["a/b"]


def test_an_upload_appears_when_it_is_committed(store: Store) -> None:
    upload = store.upload()
    upload.write(b"abc")
    upload.write(memoryview(b"xxdefxx")[2:5])
    assert list(store.names("")) == []

    upload.commit("x/y")
    upload.abort()

    assert store.get("x/y") == b"abcdef"
    with pytest.raises(StoreError, match="over"):
        upload.write(b"more")


def test_an_aborted_upload_leaves_nothing(store: Store) -> None:
    upload = store.upload()
    upload.write(b"abc")
    upload.abort()
    upload.abort()

    assert list(store.names("")) == []
    with pytest.raises(StoreError, match="over"):
        upload.commit("x")
    assert list(store.names("")) == []


def test_names_are_listed_by_folder(store: Store) -> None:
    for name in ("a/b/1", "a/b/2", "a/c/3", "ab", "vault"):
        store.put(name, b"x")

    assert sorted(store.names("")) == ["a/b/1", "a/b/2", "a/c/3", "ab", "vault"]
    assert sorted(store.names("a/")) == ["a/b/1", "a/b/2", "a/c/3"]
    assert list(store.names("a/c/")) == ["a/c/3"]
    assert list(store.names("nothing/")) == []
    assert store.begins("a/", "b/")
    assert store.begins("a/c/", "")
    assert not store.begins("a/c/", "3")
    assert not store.begins("a/c/", "2")
    assert not store.begins("a/c/", "4")
    assert not store.begins("a/c/", "33")
    assert not store.begins("nothing/", "3")


def test_marks_tell_contents_apart(store: Store) -> None:
    for name in ("a/b", "a/c", "d"):
        store.put(name, b"first")

    before = dict(store.marked("a/"))
    assert sorted(before) == ["a/b", "a/c"]
    assert dict(store.marked("a/")) == before
    store.put("a/b", b"again")
    after = dict(store.marked("a/"))
    # Empty where the store cannot tell.
    assert after["a/b"] != before["a/b"] or after["a/b"] == before["a/b"] == ""
    assert after["a/c"] == before["a/c"]
    assert list(store.marked("nothing/")) == []


def test_names_may_change_while_they_are_listed(store: Store) -> None:
    for number in range(20):
        store.put(f"a/{number}", b"x")

    for name in store.names("a/"):
        store.delete(name)
        store.put("b", b"x")

    assert list(store.names("a/")) == []


def test_an_object_is_renamed(store: Store) -> None:
    store.put("a/b", b"x")
    store.put("c/d", b"y")

    store.rename("a/b", "c/d")
    store.rename("c/d", "e/f/g")
    store.barrier(["a/b", "c/d", "e/f/g"])

    assert list(store.names("")) == ["e/f/g"]
    assert store.get("e/f/g") == b"x"
    with pytest.raises(ObjectNotFoundError, match="no object a/b"):
        store.rename("a/b", "c/d")
    with pytest.raises(StoreError, match="cannot name an object"):
        store.rename("e/f/g", "../x")


def test_deleting_can_be_repeated(store: Store) -> None:
    store.put("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    store.barrier(["a/b", "never/there"])

    assert list(store.names("")) == []


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "A", "a b", "a\0", "é", "x" * 201],
)
def test_names_that_lead_elsewhere_are_refused(store: Store, name: str) -> None:
    for call in (
        lambda: store.put(name, b"x"),
        lambda: store.get(name),
        lambda: store.delete(name),
        lambda: store.barrier([name]),
    ):
        with pytest.raises(StoreError, match="cannot name an object"):
            call()
    upload = store.upload()
    with pytest.raises(StoreError, match="cannot name an object"):
        upload.commit(name)
    upload.abort()
    assert list(store.names("")) == []


def test_punching_gives_space_back_and_spares_the_rest(store: Store) -> None:
    if not store.can_punch:
        pytest.skip("this store cannot punch")
    data = bytes(range(1, 256)) * 4096
    store.put("a", data)
    before = store.allocated("a")

    store.punch("a", [(8192, 65536), (262144, 131072)])

    assert store.allocated("a") <= before - 65536 - 131072
    assert store.get("a", 0, 8192) == data[:8192]
    assert store.get("a", 73728, 188416) == data[73728:262144]
    assert store.get("a", 393216) == data[393216:]
    assert store.tail("a", 0)[1] == len(data)


def test_a_store_that_is_held_to_an_object_knows_itself(store: Store) -> None:
    store.put("vault", b"mine")
    store.hold_to("vault", b"mine")
    store.check()
    store.check(writes=True)
    assert store.put("a", b"x")


@pytest.mark.parametrize("there", [None, b"another"])
def test_a_store_that_is_another_now_is_seen(store: Store, there: bytes | None) -> None:
    store.put("vault", b"mine")
    if there is None:
        store.delete("vault")
    else:
        store.put("vault", there)
    store.hold_to("vault", b"mine")
    with pytest.raises(VaultAwayError):
        store.check()
