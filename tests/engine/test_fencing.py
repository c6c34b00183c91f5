"""Hosts that share a Ceph cluster: one is lost, and another takes over its disks."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.engine.interface import Export
from mooring.model.errors import EngineError, FencedError, NbdError
from tests.ceph_cluster import CephCluster
from tests.engine.ceph_host import Host
from tests.engine.harness import (
    MIB,
    BytesImage,
    attached,
    content,
    eventually,
    new_id,
    noise,
)

pytestmark = pytest.mark.full
SIZE = 16 * MIB


def test_a_host_that_died_is_fenced_and_its_disk_goes_on_elsewhere(
    host: Callable[[str], Host], ceph: CephCluster
) -> None:
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    point = new_id()
    first.engine.freeze({export.disk_id: point})
    client.write(MIB, noise(2, MIB))
    client.flush()
    for pid in first.processes(instance):
        os.kill(pid, signal.SIGSTOP)  # as it is with a host that does not come back
    assert second.engine.owner(export.disk_id) == first.name
    with pytest.raises(EngineError, match=f"in use on the host {first.name}.*mooringd fence"):
        second.engine.attach(new_id(), export)

    assert second.engine.fence(first.name) == [export.disk_id]
    elsewhere = new_id()
    second.engine.attach(elsewhere, export)
    again = second.client(elsewhere, export)

    assert again.read(0, 2 * MIB) == noise(1, MIB) + noise(2, MIB)
    again.write(0, noise(3, 4096))
    again.flush()
    assert second.engine.owner(export.disk_id) == second.name
    frozen = second.engine.open_point(export.disk_id, point)
    assert content(frozen)[:MIB] == noise(1, MIB)
    frozen.close()
    second.engine.detach(elsewhere, export.disk_id, force=True)
    check(ceph, second, export)
    assert second.engine.owner(export.disk_id) is None
    for pid in first.processes(instance):
        os.kill(pid, signal.SIGKILL)


def test_a_host_that_wakes_is_refused_ends_its_daemons_and_says_so(
    host: Callable[[str], Host], ceph: CephCluster
) -> None:
    first, second, third = host("a"), host("b"), host("c")
    instance, export = attached(first, SIZE)
    other_instance, other = attached(third, SIZE)
    bystander = third.client(other_instance, other)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    client.flush()
    hung = first.processes(instance)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)

    second.engine.fence(first.host)
    elsewhere = new_id()
    second.engine.attach(elsewhere, export)
    again = second.client(elsewhere, export)
    again.write(0, noise(2, MIB))
    again.flush()
    for pid in hung:
        os.kill(pid, signal.SIGCONT)

    def writes() -> None:
        for offset in range(0, SIZE, MIB):
            client.write(offset, noise(9, 4096))
            client.flush()

    with pytest.raises(NbdError):
        writes()
    eventually(lambda: not Path(f"/proc/{hung[1]}").exists(), 20)
    assert "fenced" in first.engine.health(export.disk_id).problem
    with pytest.raises(FencedError, match="shut this host out"):
        first.engine.create(new_id(), SIZE)

    # Started again, it is a host as any other, without the disk.
    first.restart()
    first.engine.adopt({instance: [export]})
    assert f"in use on the host {second.name}" in first.engine.health(export.disk_id).problem
    attached(first, SIZE)

    # Nobody else was touched, and nothing of the first has arrived.
    bystander.write(0, noise(3, MIB))
    assert bystander.read(0, MIB) == noise(3, MIB)
    assert again.read(0, SIZE) == noise(2, MIB) + bytes(SIZE - MIB)
    second.engine.detach(elsewhere, export.disk_id, force=True)
    check(ceph, second, export)


def test_a_server_started_after_the_fence_ends_what_the_old_one_left(
    host: Callable[[str], Host],
) -> None:
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    client.flush()
    daemon = first.daemon_pid(instance)
    first.qemu.close()
    second.engine.fence(first.name)
    second.engine.fence(first.name)  # done already

    first.engine = first.qemu = first.open()

    assert not Path(f"/proc/{daemon}/exe").exists()
    # Nobody has taken the disk meanwhile.
    first.engine.adopt({instance: [export]})
    assert first.engine.health(export.disk_id).ok
    assert first.client(instance, export).read(0, MIB) == noise(1, MIB)


def test_a_host_fences_others_only(host: Callable[[str], Host]) -> None:
    first = host("a")
    assert first.engine.fence("nobody") == []
    with pytest.raises(EngineError, match="is this host"):
        first.engine.fence(first.name)


def test_a_disk_goes_from_host_to_host(host: Callable[[str], Host]) -> None:
    """Detached in order, it needs no fence; what was pending is stored by whoever has it."""
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    point = new_id()
    first.engine.freeze({export.disk_id: point})
    first.engine.detach(instance, export.disk_id, force=True)

    second.engine.attach(instance, export)

    assert second.client(instance, export).read(0, MIB) == noise(1, MIB)
    assert second.engine.points(export.disk_id) == [point]
    second.engine.release(export.disk_id, point, stored=True)
    assert second.engine.settle()
    assert second.engine.health(export.disk_id).layers == 2


def test_a_disk_comes_back_that_another_host_reverted(host: Callable[[str], Host]) -> None:
    first, second = host("a"), host("b")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    first.engine.detach(instance, export.disk_id, force=True)
    second.engine.attach(instance, export)
    then = BytesImage(noise(2, MIB))
    source = second.source(then, new_id())
    second.engine.revert(export.disk_id, source, new_id(), size=SIZE)
    second.engine.fill(export.disk_id, then)
    second.engine.detach(instance, export.disk_id, force=True)

    first.engine.attach(instance, export)

    assert first.client(instance, export).read(0, MIB) == noise(2, MIB)
    past = first.engine.past(export.disk_id)
    assert past is not None
    kept = first.engine.open_point(export.disk_id, past.point)
    assert content(kept)[:MIB] == noise(1, MIB)
    kept.close()


def test_a_daemon_that_is_killed_does_not_hold_up_the_next(host: Callable[[str], Host]) -> None:
    """The cluster would take its client for alive for 30 s, and the next one's writes wait."""
    first = host("a")
    instance, export = attached(first, SIZE)
    client = first.client(instance, export)
    client.write(0, noise(1, MIB))
    client.flush()

    first.kill_daemon(instance)

    def written() -> bool:
        try:
            again = first.client(instance, export)
            again.write(MIB, noise(2, MIB))
            again.flush()
        except (NbdError, OSError):
            return False
        return again.read(0, 2 * MIB) == noise(1, MIB) + noise(2, MIB)

    eventually(written, 15)


def check(ceph: CephCluster, host: Host, export: Export) -> None:
    """Raise unless QEMU finds nothing wrong with the disk's overlays."""
    disk = host.qemu._registry.disk(export.disk_id)
    for layer in disk.layers.overlays():
        file = host.rbd.node(layer.path, aio="", direct=True)
        image = {"driver": "qcow2", "backing": None, "file": file}
        ceph.run("qemu-img", "check", f"json:{json.dumps(image)}")
