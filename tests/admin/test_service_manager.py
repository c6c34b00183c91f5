"""What a service manager is told: by its own protocol, in one datagram."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.admin.serving.service_manager import READY, ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_once(run_dir: Path, abstract: bool) -> None:
    name = str(run_dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(10)
        manager.bind(f"\0{name}" if abstract else name)
        environment = {"NOTIFY_SOCKET": f"@{name}" if abstract else name}
        ServiceManager(environment).tell(READY)

        assert manager.recv(1000) == b"READY=1"
    assert environment == {}  # what the server starts tells nobody anything


@pytest.mark.parametrize("place", ["", "vsock:2:1", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_error(place: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": place} if place else {}).tell(READY)


@pytest.mark.full
def test_a_server_is_ready_when_it_serves_and_says_that_it_ends(run_dir: Path) -> None:
    data = run_dir / "data"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(60)
        manager.bind(str(run_dir / "notify"))
        command = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
        server = subprocess.Popen(
            [*command, "--data", str(data)],
            env={**os.environ, "NOTIFY_SOCKET": str(run_dir / "notify")},
            stderr=subprocess.DEVNULL,
        )
        try:
            assert manager.recv(1000) == b"READY=1"
            address = json.loads((data / "server.json").read_text())["url"].rpartition("/")[2]
            host, _, port = address.partition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
            server.send_signal(signal.SIGTERM)
            assert manager.recv(1000) == b"STOPPING=1"
            assert server.wait(60) == 0
        finally:
            server.kill()
            server.wait()
