"""A real guest, brought to rest by its real guest agent."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import pytest

from mooring.admin.demo.filesystem import PROGRAMS, device_of, run, why_not
from tests.e2e import crashing_server
from tests.e2e.deployment import Deployment
from tests.e2e.guest import Guest, require_guest
from tests.e2e.processes import PATIENCE

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("importable_tests"),
    pytest.mark.requires(*PROGRAMS, "dumpe2fs"),
]

SETTINGS = """\
[quiesce]
freeze_seconds = {seconds}
agent_directories = ["{folder}"]
"""


@pytest.fixture(autouse=True)
def guests() -> None:
    require_guest()
    if reason := why_not():
        pytest.skip(reason)


def settings(deployment: Deployment, seconds: float) -> list[str]:
    file = deployment.folder / "mooring.toml"
    file.write_text(SETTINGS.format(seconds=seconds, folder=deployment.folder))
    return ["--config", str(file)]


def start(deployment: Deployment, seconds: float = 30.0) -> None:
    """Start a server whose guests may take so long, which under emulation is not short."""
    program = [sys.executable, "-m", "mooring.admin.main", "serve", "--port", "0"]
    deployment.start(*program, *settings(deployment, seconds))


@contextlib.contextmanager
def guest_with_agent(deployment: Deployment) -> Iterator[Guest]:
    """A guest with an ext4 on the disk `data`, whose agent the instance knows."""
    uri = deployment.used_disk()
    with Guest(deployment.folder / "g", {"data": uri}, agent=True) as guest:
        tag = {"key": "mooring:guest-agent", "value": str(guest.agent_socket)}
        deployment.call("TagResource", resourceName="host", tags=[tag])
        guest.run("mkfs.ext4 -q -E nodiscard /dev/vda 256M && mount /dev/vda /mnt")
        yield guest


def told(deployment: Deployment, snapshot: str) -> dict[str, object]:
    return dict(deployment.server.ask("snapshot", diskSnapshotName=snapshot))


def test_snapshots_by_the_guest_agent_are_clean(deployment: Deployment) -> None:
    start(deployment)
    with guest_with_agent(deployment) as guest:
        guest.run("for i in 1 2 3 4 5 6 7 8; do yes $i | head -c 90000 > /mnt/$i; done")
        deployment.snapshot("rest")
        guest.run("echo late > /mnt/late && sync")
    assert told(deployment, "rest")["consistency"] == "file-system"
    assert float(str(told(deployment, "rest")["quiesceSeconds"])) > 0
    assert deployment.ended("rest") == ["completed"]

    with (
        deployment.restored("rest") as (uri,),
        device_of(uri, deployment.folder / "device") as device,
    ):
        assert "needs_recovery" not in run("dumpe2fs", "-h", device)
        run("e2fsck", "-fn", device)
        names = run("debugfs", "-R", "ls -p /", device)
        # Nobody had synchronised these.
        assert all(f"/{number}/" in names for number in range(1, 9))
        assert "/late/" not in names


def test_an_agent_that_hangs_or_is_absent_does_not_keep_a_snapshot(deployment: Deployment) -> None:
    start(deployment, seconds=1.0)
    with guest_with_agent(deployment) as guest:
        guest.run("kill -STOP $(cat /run/qemu-ga.pid)")

        asked = deployment.snapshot("hanging")

        assert asked.replied - asked.requested < PATIENCE
        assert told(deployment, "hanging")["consistency"] == "crash"
        assert "does not answer" in str(told(deployment, "hanging")["quiesceProblem"])
        guest.run("kill -CONT $(cat /run/qemu-ga.pid); echo on > /mnt/on && sync")
        guest.run("kill -KILL $(cat /run/qemu-ga.pid)")
        deployment.snapshot("absent")
        assert told(deployment, "absent")["consistency"] == "crash"
        guest.run("echo on > /mnt/on && sync")
    assert deployment.ended("hanging", "absent") == ["completed"] * 2


def test_the_server_is_killed_while_the_guest_is_at_rest(deployment: Deployment) -> None:
    program = [sys.executable, "-m", crashing_server.__name__, *settings(deployment, 30.0)]
    deployment.start(*program, "--victim", "server", "--moment", "request:frozen")
    with guest_with_agent(deployment) as guest:
        crashing_server.arm(deployment.data)
        with contextlib.suppress(ConnectionError):
            deployment.snapshot("crashed")
        assert deployment.server.wait(PATIENCE), "the server lives"

        began = time.monotonic()
        guest.run("echo on > /mnt/on && sync", PATIENCE)

        assert time.monotonic() - began < PATIENCE
        start(deployment)
        deployment.snapshot("again")
        assert told(deployment, "again")["consistency"] == "file-system"
