"""Hosts of one zone: chosen, asked through any server, silent, and back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import Client, RefusedError
from tests.e2e.console_visitor import ConsoleVisitor
from tests.e2e.host_server import ANSWER_SECONDS, BEGIN_SECONDS
from tests.e2e.hosts import (
    ZONE,
    Cluster,
    attach,
    create_disk,
    create_instance,
    disk,
    host_of,
    instance,
    is_refused,
    snapshot_state,
)
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]


@pytest.fixture
def engine_kind() -> str:
    return "memory"


def ask(client: Client, question: str) -> dict[str, object]:
    return dict(client.send("GET", f"/mooring/{question}", {}, b""))


def test_two_hosts_serve_one_zone(cluster: Cluster) -> None:
    alpha = cluster.start("alpha")
    create_disk(alpha, "alone")
    assert "mooring:host" not in str(disk(alpha, "alone")), "one host needs no name"
    cluster.start("beta", "--host-only")
    front = cluster.start("front", host=False)

    # The one with the fewest, unless a tag says otherwise.
    create_disk(front, "second")
    create_disk(front, "third", host="alpha")
    assert host_of(disk(front, "alone")) == "alpha"
    assert host_of(disk(front, "second")) == "beta"
    assert host_of(disk(front, "third")) == "alpha"
    refused = is_refused(
        front,
        "CreateDisk",
        diskName="none",
        availabilityZone=ZONE,
        sizeInGb=8,
        tags=[{"key": "mooring:host", "value": "gamma"}],
    )
    assert "no host gamma; its hosts are: alpha, beta" in refused
    refused = is_refused(
        front, "TagResource", resourceName="second", tags=[{"key": "mooring:host", "value": "x"}]
    )
    assert "mooring move-instance" in refused

    # An instance comes to the host of its first disk, and gets no other's.
    create_instance(alpha, "vm", host="")
    attach(front, "second", "vm")
    assert host_of(instance(front, "vm")) == "beta"
    refused = is_refused(
        front, "AttachDisk", diskName="third", instanceName="vm", diskPath="/dev/xvdg"
    )
    assert "mooring move-disk --disk-name third --host beta" in refused

    # What needs a host, any server can be asked for; the answer is that of the host.
    for client in (alpha, front):
        assert "/beta/" in str(ask(client, "uri?diskName=second")["uri"]) or ask(
            client, "uri?diskName=second"
        )
        assert ask(client, "disk?diskName=second")["state"] == "in-use"
    front.call("CreateDiskSnapshot", diskName="second", diskSnapshotName="snap")
    until(lambda: snapshot_state(alpha, "snap") == "completed", "the snapshot")
    assert cluster.steps("upload_snapshot:store:recorded") == ["beta"]
    front.call("DetachDisk", diskName="second")
    until(lambda: disk(front, "second")["state"] == "available", "the detachment")
    for name in ("second", "third"):
        front.call("DeleteDisk", diskName=name)
    until(lambda: len(cluster.steps("delete_disk:delete:recorded")) == 2, "the deletions")
    assert sorted(cluster.steps("delete_disk:delete:recorded")) == ["alpha", "beta"]

    code, told = cluster.operator("front", "hosts")
    assert code == 0
    names = [line.split()[:3] for line in told.splitlines()]
    assert names == [["name", "state", "zones"], ["alpha", "up", ZONE], ["beta", "up", ZONE]]


def test_a_host_that_stands_still_begins_nothing_late(cluster: Cluster) -> None:
    """Its client was answered; what comes to it afterwards it does not do."""
    cluster.start("alpha")
    front = cluster.start("front", host=False)
    create_disk(front, "data")
    front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="first")

    with cluster.stopped("alpha"):
        began = time.monotonic()
        with pytest.raises(RefusedError, match="may or may not have been done") as caught:
            front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="late")
        assert caught.value.status == 500
        assert time.monotonic() - began >= ANSWER_SECONDS > BEGIN_SECONDS
        # At once from now on, and without asking it.
        until(lambda: disk(front, "data")["state"] == "error", "the disk to say so")
        refused = is_refused(
            front, "CreateDiskSnapshot", diskName="data", diskSnapshotName="refused"
        )
        assert "its host alpha has not been heard of for" in refused
        assert "mooringd fence alpha" in str(ask(front, "disk?diskName=data")["problem"])

    until(lambda: disk(front, "data")["state"] == "available", "the disk to be back")
    until(lambda: "came too late" in cluster.servers["alpha"].log.read_text(), "the refusal", 5)
    with pytest.raises(RefusedError, match="does not exist"):
        snapshot_state(front, "late")
    front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="again")
    until(lambda: snapshot_state(front, "again") == "completed", "a snapshot")


def test_a_host_that_is_killed_and_started_again(cluster: Cluster) -> None:
    cluster.engine = "qemu"
    cluster.start("alpha")
    cluster.start("beta")
    front = cluster.start("front", host=False)
    create_disk(front, "lost", host="alpha")
    create_disk(front, "kept", host="beta")
    cluster.kill("alpha")

    refused = is_refused(front, "CreateDiskSnapshot", diskName="lost", diskSnapshotName="no")
    assert "cannot be reached" in refused or "not been heard of" in refused
    # Everything else goes on.
    front.call("CreateDiskSnapshot", diskName="kept", diskSnapshotName="snap")
    until(lambda: disk(front, "lost")["state"] == "error", "the disk to say so")
    assert disk(front, "kept")["state"] == "available"
    create_disk(front, "new")
    assert host_of(disk(front, "new")) == "beta"
    until(lambda: snapshot_state(front, "snap") == "completed", "the snapshot")

    cluster.start("alpha")
    # At another port, which the others find out by themselves.
    until(lambda: disk(front, "lost")["state"] == "available", "the host to be back")
    front.call("DeleteDisk", diskName="lost")
    os.kill(cluster.servers["alpha"].pid, signal.SIGTERM)
    until(lambda: "ended" in cluster.operator("front", "hosts")[1], "the end in order")


def test_the_console_of_any_server_acts_on_disks_of_any_host(cluster: Cluster) -> None:
    alpha = cluster.start("alpha")
    front = cluster.start("front", host=False)
    create_disk(front, "data")
    create_instance(front, "vm")
    attach(front, "data", "vm")
    cluster.start("beta")
    visitor = ConsoleVisitor(cluster.servers["front"].environment())

    told = visitor.see("disk", name="data", use="1")
    assert "To use it on the host alpha" in told
    assert str(ask(alpha, "uri?diskName=data")["uri"]) in told
    assert "Clients nobody is connected" in told
    told = visitor.do("disk/snapshot", name="data", snapshot="by-console")
    assert "by-console" in told
    until(lambda: snapshot_state(front, "by-console") == "completed", "the snapshot")
    # What the host refuses, the page tells as the host does.
    told = visitor.do("disk/snapshot", name="data", snapshot="by-console")
    assert "That did not work" in told
    assert "by-console" in told
    visitor.do("restore", to="fork", disk="data", name="forked")
    until(lambda: disk(front, "forked")["state"] == "available", "the fork")
    assert host_of(disk(front, "forked")) == "alpha"
    # The host that did it has it in the audit log, for the visitor; each once.
    code, told = cluster.operator("front", "audit")
    assert code == 0
    assert told.count('"CreateDiskSnapshot"') == 2
    assert told.count('"fork"') == 1

    with cluster.stopped("alpha"):
        until(lambda: disk(front, "data")["state"] == "error", "the disk to say so")
        told = visitor.do("disk/snapshot", name="data", snapshot="refused")
        assert "its host alpha has not been heard of for" in told
        assert "its host alpha has not been heard of for" in visitor.see("disk", name="data")


def test_exports_and_imports_tell_which_host_has_them(cluster: Cluster) -> None:
    cluster.engine = "qemu"
    alpha = cluster.start("alpha")
    front = cluster.start("front", host=False)
    create_disk(front, "data")
    front.call("CreateDiskSnapshot", diskName="data", diskSnapshotName="snap")
    until(lambda: snapshot_state(front, "snap") == "completed", "the snapshot")

    # Each serves the snapshot where it is asked, whoever has the disk.
    for client, name in ((alpha, "alpha"), (front, "front")):
        told = client.act("grant", diskSnapshotName="snap")
        assert told["hostName"] == name
        with BlockingNbdClient(str(told["uri"])) as image:
            assert image.info.size == 8 * 1024**3
    exported = alpha.call("ExportSnapshot", sourceSnapshotName="snap")["operations"]
    name = exported[0]["resourceName"]
    told = ask(front, f"export-record?exportSnapshotRecordName={name}")
    assert told["hostName"] == "alpha"
    assert str(told["destination"]).startswith(str(cluster.folder / "alpha"))
    until(lambda: Path(str(told["destination"])).exists(), "the file")

    place = front.act("import-place")
    assert place["hostName"] == "front"
    with pytest.raises(RefusedError, match="on the host of the server front, which offered it"):
        alpha.act("import", diskSnapshotName="in", place=place["place"], sizeInGb=8)
    with pytest.raises(RefusedError, match="The image cannot be read"):
        front.act("import", diskSnapshotName="in", place=place["place"], sizeInGb=8)
