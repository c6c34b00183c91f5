"""Folders, names and texts: what each store of layers promises."""

from __future__ import annotations

from contextlib import closing

import pytest

from mooring.model.errors import MooringError
from tests.engine.harness import noise
from tests.engine.stores.conftest import Place

MIB = 1024 * 1024


def make(place: Place, name: str, data: bytes = b"", size: int = MIB) -> None:
    with closing(place.store.create(place.folder / name, size)) as file:
        if data:
            file.write(0, data)
        file.sync()


def read(place: Place, name: str, length: int = 4096) -> bytes:
    with closing(place.store.open(place.folder / name)) as file:
        return file.read(0, length)


def test_a_folder_has_what_was_put_into_it(place: Place) -> None:
    store, folder = place.store, place.folder / "a" / "b"
    assert store.names(folder) == []
    assert not store.exists(folder)

    store.make_folder(folder)
    store.make_folder(folder)
    store.write_text(folder / "text", "one")
    store.create(folder / "layer", MIB).close()

    assert sorted(store.names(folder)) == ["layer", "text"]
    assert store.names(folder.parent) == ["b"]
    assert all(store.exists(path) for path in (folder, folder / "layer", folder / "text"))
    assert not store.exists(folder / "lay")
    assert store.names(folder / "text") == []


def test_a_folder_goes_with_all_that_is_in_it(place: Place) -> None:
    store = place.store
    for name in ("x/y", "xy"):
        store.make_folder(place.folder / name)
    make(place, "x/layer")
    make(place, "x/y/layer")
    make(place, "xy/layer", noise(1, 4096))

    store.remove_folder(place.folder / "x")
    store.remove_folder(place.folder / "x")

    assert store.names(place.folder) == ["xy"]
    assert read(place, "xy/layer") == noise(1, 4096)


def test_a_folder_is_renamed_with_all_that_is_in_it(place: Place) -> None:
    store = place.store
    store.make_folder(place.folder / "old" / "deep")
    make(place, "old/layer", noise(1, 4096))
    store.write_text(place.folder / "old" / "deep" / "text", b"two")

    store.rename(place.folder / "old", place.folder / "new")
    store.sync(place.folder)

    assert store.names(place.folder) == ["new"]
    assert read(place, "new/layer") == noise(1, 4096)
    assert store.read_text(place.folder / "new" / "deep" / "text") == b"two"


def test_a_layer_is_renamed(place: Place) -> None:
    store = place.store
    make(place, "old", noise(1, 4096))

    store.rename(place.folder / "old", place.folder / "new")
    store.sync(place.folder)

    assert read(place, "new") == noise(1, 4096)
    assert store.names(place.folder) == ["new"]
    with pytest.raises(FileNotFoundError):
        store.open(place.folder / "old")


def test_what_is_not_there_says_so(place: Place) -> None:
    store, nothing = place.store, place.folder / "nothing"
    for ask in (store.open, store.size, store.links, store.read_text, store.remove_later):
        with pytest.raises(FileNotFoundError):
            ask(nothing)
    with pytest.raises(FileNotFoundError):
        store.rename(nothing, place.folder / "something")
    with pytest.raises((FileNotFoundError, MooringError)):
        store.write_text(nothing / "text", "in no folder")
    store.remove(nothing)
    assert store.allocated(nothing) == 0


def test_a_text_is_replaced_whole(place: Place) -> None:
    store, path = place.store, place.folder / "text"
    store.write_text(path, "first, and long")
    store.write_text(path, b"second", writing=place.folder / "text.writing")
    store.write_text(path, "third \N{ANCHOR}", durable=False)

    assert store.read_text(path) == "third \N{ANCHOR}".encode()
    assert store.names(place.folder) == ["text"]
    store.remove(path)
    assert store.names(place.folder) == []


def test_a_layer_with_two_names_stays_until_the_last_is_gone(place: Place) -> None:
    store = place.store
    store.make_folder(place.folder / "shared")
    make(place, "layer", noise(1, 4096))
    assert store.links(place.folder / "layer") == 1

    store.link(place.folder / "layer", place.folder / "shared" / "layer")
    assert store.links(place.folder / "layer") == 2
    assert store.links(place.folder / "shared" / "layer") == 2
    store.remove(place.folder / "layer")

    assert read(place, "shared/layer") == noise(1, 4096)
    assert store.links(place.folder / "shared" / "layer") == 1
    store.remove_folder(place.folder / "shared")
    assert store.names(place.folder) == []


def test_a_clone_is_a_layer_of_its_own(place: Place) -> None:
    store = place.store
    make(place, "layer", noise(1, 4096))
    if not store.clone(place.folder / "layer", place.folder / "clone"):
        assert store.names(place.folder) == ["layer"]
        return
    with closing(store.open(place.folder / "layer", write=True)) as file:
        file.write(0, noise(2, 4096))
    assert read(place, "clone") == noise(1, 4096)


def test_a_removed_layer_may_keep_its_room_for_a_while(place: Place) -> None:
    store = place.store
    make(place, "layer", noise(1, 4096))

    left = store.remove_later(place.folder / "layer")

    assert store.names(place.folder) == []
    make(place, "layer", noise(2, 4096))
    left.close()
    left.close()
    assert read(place, "layer") == noise(2, 4096)
