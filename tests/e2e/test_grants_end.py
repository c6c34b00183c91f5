"""What a command was let read ends with it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.admin.demo.filesystem import run
from mooring.config.load import load
from mooring.model.clock import SystemClock
from mooring.vault.served.grants import Grant, Grants
from mooring.wiring.snapshot_servers import grants_of
from tests.e2e.deployment import Deployment

pytestmark = [
    pytest.mark.full,
    pytest.mark.requires("qemu-storage-daemon"),
    pytest.mark.requires("mke2fs"),
]

FIVE_MINUTES_MS = 5 * 60 * 1000
COMMAND = [sys.executable, "-m", "mooring.cli.main"]
SNAPSHOT = "of-files"


@pytest.fixture
def grants(deployment: Deployment) -> Grants:
    """Those of a server with a snapshot of a file system in it."""
    deployment.start()
    tree, image = deployment.folder / "tree", deployment.folder / "tree.img"
    (tree / "many").mkdir(parents=True)
    for number in range(3000):  # a listing that is longer than a pipe holds
        (tree / f"many/file-{number:04}").touch()
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    run("mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image))
    mooring(deployment, "import", str(image), "--disk-snapshot-name", SNAPSHOT, "--format", "raw")
    settings = load(None, data=str(deployment.server.data))
    return grants_of(settings, SystemClock())["us-east-2"]


def mooring(deployment: Deployment, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [*COMMAND, *words],
        env=deployment.server.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def reading(deployment: Deployment) -> subprocess.Popen[bytes]:
    """A command that has begun to list files, and waits for somebody to read on."""
    process = subprocess.Popen(
        [*COMMAND, "ls", f"{SNAPSHOT}:/many"],
        env=deployment.server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.read(1)
    return process


def the_one(grants: Grants) -> Grant:
    (grant,) = grants.all().values()
    return grant


def test_a_grant_ends_with_the_command(
    deployment: Deployment, grants: Grants, tmp_path: Path
) -> None:
    assert "many" in mooring(deployment, "ls", f"{SNAPSHOT}:/")
    assert grants.all() == {}
    mooring(deployment, "ls", f"{SNAPSHOT}:/nowhere", code=255)
    assert grants.all() == {}
    mooring(deployment, "cp", f"{SNAPSHOT}:/many/file-0001", str(tmp_path / "copy"))
    assert grants.all() == {}
    words = ["--disk-snapshot-name", SNAPSHOT, "--output", str(tmp_path / "image")]
    mooring(deployment, "export", *words)
    assert grants.all() == {}
    # What was asked for by itself lasts.
    mooring(deployment, "export", "--disk-snapshot-name", SNAPSHOT)
    assert the_one(grants).idle_ms is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_grant_ends_with_a_command_that_is_ended(
    deployment: Deployment, grants: Grants, number: signal.Signals
) -> None:
    process = reading(deployment)
    assert the_one(grants).ends_ms <= SystemClock().now_ms() + FIVE_MINUTES_MS
    process.send_signal(number)
    process.communicate(timeout=60)
    assert grants.all() == {}


def test_a_grant_ends_when_nobody_reads_what_the_command_writes(
    deployment: Deployment, grants: Grants
) -> None:
    process = reading(deployment)
    assert process.stdout is not None
    process.stdout.close()  # as `head` does
    process.wait(60)
    assert grants.all() == {}


def test_the_grant_of_a_command_that_is_killed_ends_soon(
    deployment: Deployment, grants: Grants
) -> None:
    process = reading(deployment)
    process.kill()
    process.communicate(timeout=60)
    assert the_one(grants).ends_ms <= SystemClock().now_ms() + FIVE_MINUTES_MS
