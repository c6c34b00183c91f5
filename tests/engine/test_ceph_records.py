"""Who uses a disk in a Ceph cluster, while several hosts change that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from mooring.engine.interface import Export, Source
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.merging.offline import end_offline, start_offline
from mooring.engine.qemu.stores.rbd.client import CephClient
from mooring.model.errors import EngineError, FencedError, NbdError
from mooring.nbd.blocking import BlockingNbdClient
from tests.ceph_cluster import POOL, SPACE, CephCluster
from tests.engine.ceph_host import Host
from tests.engine.harness import MIB, attached, eventually, new_id, noise

pytestmark = pytest.mark.full
SIZE = 16 * MIB


def before(client: CephClient, do: str, then: Callable[[], object]) -> None:
    """Have something else happen right before the client's next request of that kind."""
    ask, due = client.ask, [then]

    def asked(done: str, data: bytes = b"", **members: object) -> dict[str, object]:
        if done == do and due:
            due.pop()()
        return ask(done, data, **members)

    client.ask = asked  # type: ignore[method-assign,assignment]


def overwrite(client: BlockingNbdClient) -> None:
    for offset in range(0, SIZE, MIB):
        client.write(offset, noise(9, 4096))
        client.flush()


def forked(host: Host) -> tuple[str, Export, Export]:
    """An attached disk, its instance first, and a fork that shares its layers."""
    instance, export = attached(host, SIZE)
    client = host.client(instance, export)
    client.write(0, noise(1, SIZE))
    client.flush()
    point, made = new_id(), Export(new_id(), "fork")
    host.engine.freeze({export.disk_id: point})
    host.engine.fork(export.disk_id, point, made.disk_id)
    return instance, export, made


def test_a_fork_whose_daemon_dies_leaves_the_other_disk_alone(host: Callable[[str], Host]) -> None:
    """Both have the shared layers open, and only the fork's clients are shut out."""
    first = host("a")
    instance, export, made = forked(first)
    other = new_id()
    first.engine.attach(other, made)

    first.kill_daemon(other)

    def served() -> bool:
        with suppress(NbdError, OSError):
            return first.client(other, made).read(0, MIB) == noise(1, SIZE)[:MIB]
        return False

    eventually(served, 30)
    assert first.client(instance, export).read(0, SIZE) == noise(1, SIZE)


def test_a_forks_host_is_fenced_without_the_host_of_the_other_disk(
    host: Callable[[str], Host],
) -> None:
    first, second, third = host("a"), host("b"), host("c")
    instance, export, made = forked(first)
    other = new_id()
    second.engine.attach(other, made)
    client = second.client(other, made)
    client.write(0, noise(2, 4096))

    assert third.engine.fence(second.host) == [made.disk_id]

    assert first.client(instance, export).read(0, SIZE) == noise(1, SIZE)
    with pytest.raises(NbdError):
        overwrite(client)


def test_a_slow_fence_leaves_the_record_of_who_has_taken_over(host: Callable[[str], Host]) -> None:
    first, second, third = host("a"), host("b"), host("c")
    _, export = attached(first, SIZE)
    elsewhere = new_id()

    def take_over() -> None:
        second.engine.fence(first.host)
        second.engine.attach(elsewhere, export)

    before(third.rbd.client, "blocklist", take_over)

    third.engine.fence(first.host)

    assert third.engine.owner(export.disk_id) == second.name
    assert not second.engine.is_shut_out(second.host)
    assert second.client(elsewhere, export).read(0, MIB) == bytes(MIB)


def test_of_two_hosts_that_begin_at_once_one_is_refused(host: Callable[[str], Host]) -> None:
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    first.engine.detach(instance, export.disk_id)
    before(first.rbd.client, "apply", lambda: second.rbd.begin_use(export.disk_id))

    with pytest.raises(EngineError, match=f"in use on the host {second.name}"):
        first.rbd.begin_use(export.disk_id)

    assert first.engine.owner(export.disk_id) == second.name


def test_a_fenced_host_asks_nothing_by_another_process(host: Callable[[str], Host]) -> None:
    """It would be a client that nobody has shut out."""
    first, second = host("a"), host("b")
    watch = first.rbd._watch
    assert watch is not None
    watch.close()
    second.engine.fence(first.host)
    assert second.engine.is_shut_out(first.host)
    pid = first.rbd.client.pid()
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    folder = first.rbd.root / "disks" / new_id()
    with pytest.raises(FencedError, match="this host was fenced"):
        first.rbd.make_folder(folder)
    assert not second.rbd.exists(folder)
    first.restart()
    assert not second.engine.is_shut_out(first.host)
    first.rbd.make_folder(folder)
    assert second.rbd.exists(folder)


@pytest.mark.parametrize("died", [False, True], ids=["ended", "died"])
def test_what_nobody_wants_any_more_can_be_used_elsewhere(
    host: Callable[[str], Host], *, died: bool
) -> None:
    """Its instance was deleted while no server ran."""
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    kept_by, kept = attached(first, SIZE)
    first.qemu.close()
    if died:
        first.kill_daemon(instance)
    first.engine = first.qemu = first.open()

    first.engine.adopt({kept_by: [kept]})

    assert second.engine.owner(export.disk_id) is None
    assert second.engine.owner(kept.disk_id) == first.name
    second.engine.attach(instance, export)
    assert first.client(kept_by, kept).read(0, MIB) == bytes(MIB)


def test_a_disk_is_detached_whose_daemon_cannot_be_started(host: Callable[[str], Host]) -> None:
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    first.qemu._watcher.close()
    first.qemu._guard.close()
    first.kill_daemon(instance)

    first.engine.detach(instance, export.disk_id)

    assert second.engine.owner(export.disk_id) is None
    second.engine.attach(instance, export)


def test_a_disk_that_cannot_be_opened_can_be_used_elsewhere(host: Callable[[str], Host]) -> None:
    first, second = host("a"), host("b")
    first.settings = DaemonSettings(source_seconds=1)
    first.restart()
    export = Export(new_id(), "lazy")
    nowhere = f"nbd+unix:///disk?socket={first.run_dir}/nowhere"
    source = Source(new_id(), SIZE, nowhere, lambda: pytest.fail("it is not opened"))
    first.engine.begin_clone(export.disk_id, SIZE, source)

    with pytest.raises(EngineError):
        first.engine.attach(new_id(), export)

    assert second.engine.owner(export.disk_id) is None


def test_what_a_lost_host_was_making_is_removed(
    host: Callable[[str], Host], ceph: CephCluster
) -> None:
    """Also its names of layers that others have: as long as it has them, nothing is merged."""
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    first.engine.detach(instance, export.disk_id)
    store = first.rbd
    (layer,) = (one for one in first.qemu._registry.disk(export.disk_id).layers.overlays())
    staging = first.qemu._registry.own_folder / "forks" / new_id()
    store.make_folder(staging)
    store.link(layer.path, staging / layer.path.name)
    store.create(staging / "half", MIB).close()
    unnamed = store._make(staging / "unnamed", MIB).image
    assert second.rbd.links(layer.path) == 2

    second.engine.fence(first.host)

    assert second.rbd.links(layer.path) == 1
    assert not second.rbd.exists(staging)
    assert second.rbd.settle()
    left = [one for one in ceph.images() if one == unnamed or staging.name in one]
    assert not left
    second.engine.attach(instance, export)
    assert second.client(instance, export).read(0, MIB) == bytes(MIB)


def test_a_daemon_that_dies_in_a_merge_is_shut_out(
    host: Callable[[str], Host], ceph: CephCluster
) -> None:
    """What it has left under way does not arrive when the disk is used elsewhere."""
    first = host("a")
    instance, export = attached(first, SIZE)
    first.engine.detach(instance, export.disk_id)
    registry = first.qemu._registry
    daemon = start_offline(registry, registry.disk(export.disk_id))
    owner = first.rbd.owners.owner(export.disk_id)
    assert owner is not None
    assert owner.addresses

    first.kill_daemon(daemon.folder.name)
    end_offline(daemon, export.disk_id)

    assert first.engine.owner(export.disk_id) is None
    listed = ceph.run("ceph", "osd", "blocklist", "ls")
    assert all(address in listed for address in owner.addresses)


def test_a_disk_that_was_moved_is_not_merged_where_it_was(host: Callable[[str], Host]) -> None:
    """What was due there, and had to wait, is the other host's to do."""
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    point = new_id()
    first.engine.freeze({export.disk_id: point})
    overwrite(client)
    client.close()
    first.engine.detach(instance, export.disk_id)
    second.engine.attach(instance, export)
    first.elsewhere.add(export.disk_id)

    first.engine.release(export.disk_id, point, stored=True)

    assert first.qemu.settle(5), "it tries again and again"
    assert first.engine.health(export.disk_id).problem == ""
    second.engine.detach(instance, export.disk_id)
    assert first.qemu.settle(5)
    assert first.engine.health(export.disk_id).layers == 3, "it keeps the other host from the disk"
    second.engine.release(export.disk_id, point, stored=True)
    assert second.qemu.settle(30)
    assert second.engine.health(export.disk_id).layers == 2

    first.elsewhere.clear()
    first.engine.attach(instance, export)
    assert first.client(instance, export).read(0, MIB)[4096:] == noise(1, MIB)[4096:]


def test_a_merge_leaves_the_daemon_the_lock_of_what_it_writes_to(
    ceph: CephCluster, host: Callable[[str], Host]
) -> None:
    """Else the next write would wait until the daemon has it back."""
    one = host("a")
    instance, export = attached(one, SIZE)
    client = one.client(instance, export)
    overwrite(client)
    point = new_id()
    one.engine.freeze({export.disk_id: point})
    client.write(MIB, noise(5, 4096))
    client.flush()
    newest = one.qemu._registry.disk(export.disk_id).layers.overlays()[-1]
    with closing(one.rbd.open(newest.path)) as layer:
        image = f"{POOL}/{SPACE}/{layer.image.image}"
    held = ceph.run("rbd", "lock", "ls", image, "--format", "json")

    one.engine.release(export.disk_id, point, stored=True)
    assert one.engine.settle(60)

    assert len(one.qemu._registry.disk(export.disk_id).layers.overlays()) == 1
    assert "auto" in held
    assert ceph.run("rbd", "lock", "ls", image, "--format", "json") == held
