"""Attached disks for machines on other hosts: who may, one at a time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from mooring.admin.demo.server import DemoError
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import parse_uri
from tests.e2e.client import RefusedError
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.e2e.remote import (
    Remotes,
    kill_relay,
    machine,
    nbdinfo,
    qemu_io,
    relay,
    tcp_uri,
)

pytestmark = [
    pytest.mark.full,
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires("nbdinfo", "qemu-io", "qemu-nbd", "qemu-storage-daemon"),
]

SIZE = f"{8 << 30}\n"


@pytest.fixture
def remotes(deployment: Deployment) -> Remotes:
    return Remotes(deployment.folder)


def own_disk(deployment: Deployment, name: str = "data", instance: str = "web-1") -> str:
    """A disk for one process, attached; returns its NBD URI on this host."""
    deployment.call("CreateDisk", diskName=name, availabilityZone=ZONE, sizeInGb=8)
    deployment.until_disk(name, "state", "available")
    deployment.instance(instance)
    return deployment.attach(name, instance)


def stat(deployment: Deployment, disk: str = "data") -> str:
    return deployment.server.run("mooring", "stat", "--disk-name", disk).output


def refusal(uri: str, certificates: Path) -> str:
    """What QEMU says why it may not use the disk."""
    return qemu_io(uri, certificates, "quit").stderr


def test_a_certificate_names_the_instances_of_its_machine(
    deployment: Deployment, remotes: Remotes
) -> None:
    remotes.start(deployment)
    local = own_disk(deployment)
    own_disk(deployment, "other", "web-2")
    web_1, web_2 = remotes.machine("web-1"), remotes.machine("web-2.us-east-2", "x")
    assert relay(deployment) is None
    command = ("mooring", "uri", "--disk-name", "data", "--tcp")
    uri = deployment.server.run(*command).output.strip()

    assert uri.startswith("nbds://localhost:")
    assert parse_uri(uri).export == "us-east-2/web-1/data"
    assert nbdinfo(uri, web_1).stdout == SIZE
    assert "read 4096" in qemu_io(uri, web_1, "write -P 7 8k 4k", "flush", "read -P 7 8k 4k").stdout
    with BlockingNbdClient(local) as client:
        assert client.read(8192, 4096) == bytes([7]) * 4096

    assert "no such disk for this certificate" in refusal(uri, web_2)
    assert nbdinfo(uri, remotes.nobody()).returncode
    assert nbdinfo(uri, Remotes(deployment.folder / "d").machine("web-1")).returncode
    assert nbdinfo(uri.replace("nbds:", "nbd:"), web_1).returncode
    other = uri.replace("web-1", "web-2").replace("%2Fdata", "%2Fother")
    assert "no such disk" in refusal(other, web_2), "nobody has opened the way"
    assert nbdinfo(tcp_uri(deployment, "other"), web_2).stdout == SIZE
    assert nbdinfo(other, web_2).stdout == SIZE
    assert nbdinfo(uri.replace("%2Fdata", "%2Fnone"), web_1).returncode


def test_nothing_leaves_the_host_unless_set_up(deployment: Deployment, remotes: Remotes) -> None:
    deployment.start()
    own_disk(deployment)
    with pytest.raises(RefusedError, match=r"set nbd_disks.host"):
        tcp_uri(deployment)
    deployment.server.stop()
    with pytest.raises(DemoError, match=r"nbd_disks.any_client = true"):
        remotes.start(deployment, "")
    remotes.start(deployment, "any_client = true")
    assert nbdinfo(tcp_uri(deployment), remotes.nobody()).stdout == SIZE


def test_a_disk_is_for_one_machine(deployment: Deployment, remotes: Remotes) -> None:
    remotes.start(deployment)
    local = own_disk(deployment)
    web_1 = remotes.machine("web-1")
    uri = tcp_uri(deployment)
    with machine(deployment.folder, uri, web_1):
        until(lambda: "over the network" in stat(deployment), "the machine to be told")
        assert "(web-1), over the network" in stat(deployment)
        refused = refusal(uri, web_1)
        assert "the disk is in use by 127.0.0.1:" in refused
        assert "was refused" in stat(deployment)
        with pytest.raises(RefusedError, match=r"127.0.0.1:\d+ \(web-1\)"):
            deployment.call("DetachDisk", diskName="data")
        # A process of this host is cut off, and named.
        subprocess.run(["nbdinfo", "--size", local], check=False, capture_output=True, timeout=60)
    until(lambda: nbdinfo(uri, web_1).stdout == SIZE, "the disk to be free")

    with BlockingNbdClient(local) as client:
        until(lambda: "over the network" not in stat(deployment), "the others to be gone")
        # At first it gets in, and is cut off; then it is refused, as long as this one is there.
        with machine(deployment.folder, uri, web_1):
            until(lambda: "is in use by python" in refusal(uri, web_1), "a refusal")
            assert "(web-1) was cut off" in stat(deployment)
        assert client.read(0, 4096) == bytes(4096)
    until(lambda: nbdinfo(uri, web_1).stdout == SIZE, "the disk to be free")


def test_a_shared_disk_is_for_several(deployment: Deployment, remotes: Remotes) -> None:
    remotes.start(deployment)
    own_disk(deployment)
    web_1 = remotes.machine("web-1")
    uri = tcp_uri(deployment)
    with machine(deployment.folder, uri, web_1) as first:
        assert "in use" in refusal(uri, web_1)
        deployment.call(
            "TagResource", resourceName="data", tags=[{"key": "mooring:shared", "value": "true"}]
        )
        # The one that came first came alone.
        kill_relay(deployment)
        for pid in deployment.daemons().values():
            os.kill(pid, signal.SIGKILL)
        with BlockingNbdClient(first) as client:
            assert client.read(0, 4096) == bytes(4096)
            until(lambda: nbdinfo(uri, web_1).stdout == SIZE, "the second to get in")
            assert client.read(4096, 4096) == bytes(4096)


def test_the_way_ends(deployment: Deployment, remotes: Remotes) -> None:
    remotes.start(deployment)
    own_disk(deployment)
    web_1 = remotes.machine("web-1")
    uri = tcp_uri(deployment)
    with machine(deployment.folder, uri, web_1):
        until(lambda: "over the network" in stat(deployment), "the machine to be told")
        command = ("mooring", "uri", "--instance-name", "web-1", "--tcp", "--close")
        assert deployment.server.run(*command).output == ""
        until(lambda: "over the network" not in stat(deployment), "it to be cut off")
        until(lambda: relay(deployment) is None, "the relay to end")

    uri = tcp_uri(deployment)
    with machine(deployment.folder, uri, web_1):
        until(lambda: "over the network" in stat(deployment), "the machine to be told")
        deployment.call("DeleteInstance", instanceName="web-1")
    until(lambda: relay(deployment) is None, "the relay to end with the instance")


def test_machines_that_hang(deployment: Deployment, remotes: Remotes) -> None:
    authority = f'client_authority = "{deployment.folder}/server/ca-cert.pem"'
    remotes.start(deployment, authority, "connections_per_address = 4")
    own_disk(deployment)
    web_1 = remotes.machine("web-1")
    uri = tcp_uri(deployment)
    port = parse_uri(uri).port
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
    for one in silent:
        assert one.recv(18).startswith(b"NBDMAGIC")
    assert nbdinfo(uri, web_1).stdout == SIZE
    # They have not come as far as the daemon, which a freeze would wait for.
    deployment.snapshot("saved")
    assert deployment.ended("saved") == ["completed"]
    with socket.create_connection(("127.0.0.1", port)) as fourth:
        assert fourth.recv(18)
        with socket.create_connection(("127.0.0.1", port)) as fifth:
            assert fifth.recv(18) == b""
    for one in silent:
        one.settimeout(60)
        while one.recv(4096):
            pass
        one.close()
    until(lambda: nbdinfo(uri, web_1).stdout == SIZE, "places to be free")


def test_from_another_machine(deployment: Deployment, remotes: Remotes) -> None:
    """As far as a network name space is one."""
    # From the range for tests of networks (RFC 2544), so that it is nobody's.
    net = f"198.18.{os.getpid() % 256}"
    name = f"mooring-{os.getpid()}"
    here, there = f"mr{os.getpid()}a", f"mr{os.getpid()}b"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("no network name spaces here")
    before = ["ip", "netns", "exec", name]
    try:
        for words in (
            f"ip link add {here} type veth peer name {there} netns {name}",
            f"ip address add {net}.1/30 dev {here}",
            f"ip link set {here} up",
            f"ip -n {name} address add {net}.2/30 dev {there}",
            f"ip -n {name} link set {there} up",
        ):
            subprocess.run(words.split(), check=True)
        remotes.start(deployment, host=f"{net}.1")
        own_disk(deployment)
        web_1 = remotes.machine("web-1")
        uri = tcp_uri(deployment)
        commands = ("write -P 9 0 64k", "read -P 9 0 64k")
        told = qemu_io(uri, web_1, *commands, host=f"{net}.1", before=before)
        assert told.returncode == 0, told.stderr
        with machine(deployment.folder, uri, web_1, host=f"{net}.1", before=before) as shown:
            until(lambda: f"{net}.2:" in stat(deployment), "the machine to be told")
            # Its host vanishes without a word, and comes again: it has its disk.
            subprocess.run(["ip", "link", "set", here, "down"], check=True)
            until(lambda: f"{net}.2:" not in stat(deployment), "it to be missed")
            subprocess.run(["ip", "link", "set", here, "up"], check=True)
            with BlockingNbdClient(shown) as client:
                assert client.read(0, 65536) == bytes([9]) * 65536
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)


def test_whatever_is_killed_a_machine_goes_on(deployment: Deployment, remotes: Remotes) -> None:
    remotes.start(deployment)
    deployment.used_disk(instance="web-1")
    uri = tcp_uri(deployment)
    with machine(deployment.folder, uri, remotes.machine("web-1")) as shown:
        crew = deployment.crew(shown, range(2048), rate=200, strict=True, durable=True)
        taken = [deployment.snapshot("before")]
        deployment.grow("data", 9)
        crew.go_on(time.monotonic())

        kill_relay(deployment)
        crew.go_on(time.monotonic())
        until(lambda: relay(deployment) is not None, "the relay to come back")
        for pid in deployment.daemons().values():
            os.kill(pid, signal.SIGKILL)
        crew.go_on(time.monotonic())
        taken.append(deployment.snapshot("between"))

        deployment.server.kill()
        crew.go_on(time.monotonic())
        kill_relay(deployment)
        crew.go_on(time.monotonic())
        remotes.start(deployment)
        until(lambda: relay(deployment) is not None, "the relay to come back")
        assert tcp_uri(deployment) == uri
        taken.append(deployment.snapshot("after"))
        crew.go_on(taken[-1].replied)

        assert set(deployment.ended("before", "between", "after")) == {"completed"}
        deployment.check(crew, *taken, size_gb=9)
        assert crew.stop()


def test_a_relay_that_hangs_is_replaced(deployment: Deployment, remotes: Remotes) -> None:
    remotes.start(deployment)
    own_disk(deployment)
    web_1 = remotes.machine("web-1")
    uri = tcp_uri(deployment)
    process = relay(deployment)
    assert process is not None
    with process:
        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: not process.alive(), "it to be ended")
    until(lambda: nbdinfo(uri, web_1).stdout == SIZE, "another to be there")
