"""`mooringd stop`: the server, then the storage daemons, unless somebody uses a disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until

pytestmark = pytest.mark.full


def mooringd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mooring.admin.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture
def deployment(run_dir: Path) -> Iterator[Deployment]:
    made = Deployment(run_dir)
    made.start()
    try:
        yield made
    finally:
        mooringd("stop", "--force", "--data", str(made.data))
        made.close()


def attached(deployment: Deployment, instance: str = "vm1") -> str:
    """The URI of a disk `data` that the instance has."""
    return deployment.used_disk("data", instance)


def description(deployment: Deployment) -> str:
    return "".join(file.read_text() for file in deployment.data.glob("zones/*/disks/*/disk.json"))


CLIENT = """
import sys
from mooring.nbd.blocking import BlockingNbdClient
client = BlockingNbdClient(sys.argv[1])
print("here", flush=True)
input()
"""


@contextmanager
def client(uri: str) -> Iterator[int]:
    """A process that is connected to the disk and does nothing; its pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "here\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_the_server_and_its_daemons_end(deployment: Deployment) -> None:
    attached(deployment)
    assert deployment.daemons()

    done = mooringd("stop", "--data", str(deployment.data))

    assert (done.returncode, done.stderr) == (0, "")
    assert "The server has stopped, and 1 storage daemon." in done.stdout
    assert processes.naming(deployment.data) == {}
    again = mooringd("stop", "--data", str(deployment.data))
    assert again.returncode == 2
    assert again.stderr == f"mooringd: no server runs on {deployment.data}\n"
    deployment.start()
    assert deployment.daemons()


def test_a_data_directory_named_from_where_one_is(deployment: Deployment) -> None:
    uri = attached(deployment)
    here = os.path.relpath(deployment.data)
    with client(uri):
        refused = mooringd("stop", "--data", here)
        assert "disks are in use. Nothing was stopped:" in refused.stderr

    done = mooringd("stop", "--data", here)

    assert "The server has stopped, and 1 storage daemon." in done.stdout
    assert processes.naming(deployment.data) == {}


def test_it_is_refused_while_somebody_uses_a_disk(deployment: Deployment) -> None:
    uri = attached(deployment)
    daemons = deployment.daemons()
    with client(uri) as pid:
        # What lies beside the disk follows within seconds.
        until(lambda: "vm1" in description(deployment), "the instance to be described")
        refused = mooringd("stop", "--data", str(deployment.data))
        assert refused.returncode == 2
        told = f"disk data of instance vm1 in {ZONE}, by python (process {pid})"
        assert "Nothing was stopped:" in refused.stderr
        assert told in refused.stderr
        assert deployment.server.answers()
        assert deployment.daemons() == daemons

        only = mooringd("stop", "--server", "--data", str(deployment.data))
        assert only.returncode == 0
        assert not deployment.server.answers()
        assert deployment.daemons() == daemons
        assert mooringd("stop", "--data", str(deployment.data)).returncode == 2

        forced = mooringd("stop", "--force", "--data", str(deployment.data))
        assert forced.returncode == 0
        assert "There was no server; all else has stopped, and 1 storage daemon." in forced.stdout
    assert processes.naming(deployment.data) == {}


def test_a_daemon_tells_whose_it_is(deployment: Deployment) -> None:
    attached(deployment)
    (pid,) = deployment.daemons().values()

    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")

    assert words[1] == b"--pidfile"
    assert words[2].startswith(os.fsencode(deployment.data / "run" / ZONE))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has block devices")
def test_block_devices_of_this_host(deployment: Deployment) -> None:
    deployment.disk("data")
    deployment.instance("here", "host")
    deployment.call("AttachDisk", diskName="data", instanceName="here", diskPath="/dev/xvda")
    deployment.until_disk("data", "attachmentState", "attached")
    device = deployment.act("device", diskName="data")["device"]
    until(lambda: '"data"' in description(deployment), "the disk to be described")
    with Path(device).open("rb"):
        for force in ([], ["--force"]):
            refused = mooringd("stop", *force, "--data", str(deployment.data))
            assert refused.returncode == 2
            assert f"disk data, {device}" in refused.stderr
        assert deployment.server.answers()

    done = mooringd("stop", "--data", str(deployment.data))

    assert (done.returncode, done.stderr) == (0, "")
    assert processes.naming(deployment.data) == {}
    backing = Path("/sys/block", Path(device).name, "loop", "backing_file")
    until(lambda: not backing.exists(), "the device to be free")
