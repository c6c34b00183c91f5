"""Names of images in a Ceph cluster, where others change them at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.engine.qemu.stores.rbd.names import OBJECT
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from mooring.model.errors import ClusterAwayError
from tests.ceph_cluster import CephCluster, new_host
from tests.engine.harness import eventually, new_id, noise

pytestmark = pytest.mark.full
MIB = 1024 * 1024


@pytest.fixture
def other(ceph: CephCluster, run_dir: Path) -> Iterator[RbdStore]:
    """The store of another host."""
    folder = run_dir / "other"
    folder.mkdir()
    store = RbdStore(ceph.place(), new_host(), SystemClock())
    store.start(folder, folder)
    yield store
    store.close()


def around(
    client: CephClient,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Have something else happen right before or after the client's next change of names."""
    ask, due = client.ask, [True]

    def asked(done: str, data: bytes = b"", **members: object) -> dict[str, object]:
        mine = done == "apply" and bool(due) and bool(due.pop())
        if mine:
            before()
        answer = ask(done, data, **members)
        if mine:
            after()
        return answer

    client.ask = asked  # type: ignore[method-assign,assignment]


def folder_in(store: RbdStore) -> Path:
    folder = store.root / "disks" / new_id()
    store.make_folder(folder)
    return folder


def keys_of(store: RbdStore, image: str) -> list[str]:
    """The keys that speak of an image."""
    found = store.client.ask("keys", table=OBJECT, prefix="")["found"]
    return [key for key, value in found.items() if image in key or image in value]


def test_an_image_goes_when_two_hosts_take_its_last_names_at_once(
    rbd: RbdStore, other: RbdStore, ceph: CephCluster
) -> None:
    one, two = folder_in(rbd) / "layer", folder_in(other) / "layer"
    rbd.create(one, MIB).close()
    rbd.link(one, two)
    image = rbd.names_in.layer(one).image
    around(rbd.client, lambda: other.remove(two))

    rbd.remove(one)

    assert rbd.settle()
    assert other.settle()
    # Who finds the other one removing it comes again after five seconds.
    eventually(lambda: image not in ceph.images() and keys_of(rbd, image) == [], 30)


def test_an_image_with_another_name_stays(rbd: RbdStore, other: RbdStore) -> None:
    one, two = folder_in(rbd) / "layer", folder_in(other) / "layer"
    with closing(rbd.create(one, MIB)) as file:
        file.write(0, noise(1, 4096))
    rbd.link(one, two)

    rbd.remove(one)

    assert rbd.settle()
    assert other.links(two) == 1
    with closing(other.open(two)) as file:
        assert file.read(0, 4096) == noise(1, 4096)
    assert len(keys_of(other, other.names_in.layer(two).image)) == 2


def test_an_image_stays_whose_name_was_given_though_nobody_was_told(
    rbd: RbdStore, ceph: CephCluster
) -> None:
    """The cluster did it, and did not answer in time."""
    path = folder_in(rbd) / "overlay"

    def silent() -> None:
        raise ClusterAwayError("it does not answer")

    with pytest.raises(ClusterAwayError), rbd.appearing(path):
        around(rbd.client, after=silent)

    assert rbd.settle()
    assert rbd.names_in.layer(path).image in ceph.images()
    assert rbd.size(path) > 0


def test_a_layer_gets_no_name_in_a_folder_that_has_just_gone(
    rbd: RbdStore, other: RbdStore, ceph: CephCluster
) -> None:
    folder = folder_in(rbd)

    with pytest.raises(FileNotFoundError), rbd.appearing(folder / "layer"):
        around(rbd.client, lambda: other.remove_folder(folder))

    assert rbd.settle()
    assert not [image for image in ceph.images() if folder.name in image]
    assert keys_of(rbd, folder.name) == []


def test_what_comes_into_a_folder_while_it_is_renamed_and_removed_goes_with_it(
    rbd: RbdStore, other: RbdStore, ceph: CephCluster
) -> None:
    folder = folder_in(rbd)
    new = folder.with_name(new_id())
    around(rbd.client, lambda: other.create(folder / "first", MIB).close())
    rbd.rename(folder, new)
    assert rbd.names(new) == ["first"]
    around(rbd.client, lambda: other.create(new / "second", MIB).close())

    rbd.remove_folder(new)

    assert rbd.settle()
    assert not [image for image in ceph.images() if folder.name in image or new.name in image]
    assert keys_of(rbd, folder.name) == keys_of(rbd, new.name) == []
