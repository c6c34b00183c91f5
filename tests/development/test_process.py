"""Where a server for development listens, how it ends, what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mooring.development.throw_away import PREFIX, YOUNG_SECONDS
from mooring.testing.server import MooringServer
from tests.development.waiting import make_disk

SERVE = [sys.executable, "-m", "mooring.admin.main", "serve"]


@pytest.fixture(autouse=True)
def temporary(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers have their directories."""
    monkeypatch.setenv("TMPDIR", str(run_dir))
    return run_dir


def _left(temporary: Path) -> list[Path]:
    return list(temporary.glob(f"{PREFIX}*"))


def _addresses(port: int) -> set[str]:
    """The addresses on which somebody listens at the port, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            address, hexadecimal = local.split(":")
            if state == "0A" and int(hexadecimal, 16) == port:
                found.add(address)
    return found


def test_it_listens_on_loopback_alone_and_leaves_nothing(temporary: Path) -> None:
    with MooringServer() as server:
        assert _addresses(urlsplit(server.url).port or 0) == {"0100007F"}
        assert len(_left(temporary)) == 1
    assert not _left(temporary)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(temporary: Path, number: signal.Signals) -> None:
    with MooringServer() as server:
        assert server.url
        server._process.send_signal(number)
        assert server._process.wait(30) == 0
    assert not _left(temporary)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--development", "--data", "somewhere"], "leave --data out"),
        (["--development", "--config", "/dev/null"], "leave --config out"),
        (["--development", "--background"], "leave --background out"),
        (["--engine", "memory"], "--engine goes with --development"),
        (["--until-input-ends"], "--until-input-ends goes with --development"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], told: str) -> None:
    done = subprocess.run([*SERVE, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*SERVE, "--development", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_of_several_at_one_port_one_serves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*SERVE, "--development", "--until-input-ends", "--port", str(port)]
    servers = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = []
    for server in servers:
        assert server.stdout is not None
        said.append(server.stdout.readline())
    codes = []
    for server in servers:
        _, errors = server.communicate(timeout=60)
        codes.append(server.returncode)
        assert server.returncode == 0 or "Address already in use" in errors
        assert "Traceback" not in errors
    assert sorted(codes) == [0, 2, 2]
    assert sum(f":{port} " in line for line in said) == 1


def test_what_a_killed_server_has_left_is_removed(temporary: Path) -> None:
    with MooringServer() as killed:
        assert killed.url
        killed._process.kill()
        killed._process.wait()
    (left,) = _left(temporary)
    strange = temporary / f"{PREFIX}link"
    strange.symlink_to(Path.home(), target_is_directory=True)
    with MooringServer() as young:
        assert young.url
        assert left.is_dir(), "it might just have been made"
    old = left.stat().st_mtime - 2 * YOUNG_SECONDS
    os.utime(left, (old, old))
    with MooringServer() as other, MooringServer() as server:
        assert server.url
        assert other.url
        assert not left.exists()
        assert len(_left(temporary)) == 3, "those of servers that run, and the link"
    assert _left(temporary) == [strange]
    assert Path.home().is_dir()


@pytest.mark.full
@pytest.mark.requires("qemu-storage-daemon")
def test_daemons_end_with_the_server_or_with_the_next_one(temporary: Path) -> None:
    def daemons() -> int:
        ours = f"TMPDIR={temporary}".encode()
        return sum(
            _read(process / "cmdline").startswith(b"qemu-storage-daemon")
            and ours in _read(process / "environ")
            for process in Path("/proc").glob("[0-9]*")
        )

    with MooringServer("qemu") as server:
        _attach_a_disk(server)
        assert daemons() == 1
        server.reset()
        assert daemons() == 0
        _attach_a_disk(server)
    assert daemons() == 0
    assert not _left(temporary)

    with MooringServer("qemu") as killed:
        _attach_a_disk(killed)
        killed._process.kill()
        killed._process.wait()
    assert daemons() == 1
    (left,) = _left(temporary)
    old = left.stat().st_mtime - 2 * YOUNG_SECONDS
    os.utime(left, (old, old))
    with MooringServer() as server:
        assert server.url
        assert daemons() == 0
    assert not _left(temporary)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _attach_a_disk(server: MooringServer) -> None:
    import boto3

    lightsail = boto3.session.Session().client(
        "lightsail",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    make_disk(lightsail)
    lightsail.create_instances(
        instanceNames=["vm-1"],
        availabilityZone="us-east-1a",
        blueprintId="external",
        bundleId="external",
    )
    while lightsail.get_instance(instanceName="vm-1")["instance"]["state"]["name"] != "running":
        pass
    lightsail.attach_disk(diskName="disk-1", instanceName="vm-1", diskPath="/dev/xvdf")
    while lightsail.get_disk(diskName="disk-1")["disk"]["attachmentState"] != "attached":
        pass
    lightsail.close()
