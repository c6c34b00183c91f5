"""Copies between regions, against real disks and directories."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from mooring.admin.demo.server import DemoError
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.protocol import STATUS_ZERO
from tests.e2e import crashing_server
from tests.e2e.deployment import Deployment
from tests.e2e.processes import PATIENCE
from tests.e2e.test_restore import MIB, PIECES, check, serve, snapshot

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

FAR = ("--region", "us-west-2")


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_copied_to_another_region_while_the_server_is_killed(deployment: Deployment) -> None:
    serve(deployment)
    snapshot(deployment)
    copy = ["mooring", "copy-snapshot", "--source-region", "us-east-2", *FAR]
    copy += ["--source-snapshot-name", "saved", "--target-snapshot-name"]
    answer = json.loads(deployment.server.run(*copy, "far").output)
    assert answer["operations"][0]["operationDetails"] == "us-east-2:saved"
    deployment.server.kill()
    serve(deployment)

    wait = ["mooring", "wait", "disk-snapshot-completed", *FAR, "--disk-snapshot-name"]
    deployment.server.run(*wait, "far")

    export = ["mooring", "export", *FAR, "--disk-snapshot-name", "far"]
    with BlockingNbdClient(deployment.server.run(*export).output.strip()) as client:
        check(client)
    segments = deployment.data / "vaults" / "us-west-2" / "segments"
    stored = bytes_in(segments)
    assert stored > 0
    # The same once more costs a root.
    again = json.loads(deployment.server.run(*copy, "again", "--wait").output)
    assert again["operations"][0]["status"] == "Succeeded"
    assert bytes_in(segments) == stored


@pytest.mark.parametrize("moment", ["copy:read-3", "store:written", "copy:done"])
def test_killed_in_the_middle_of_a_copy_it_holds_every_byte(
    deployment: Deployment, moment: str
) -> None:
    program = [sys.executable, "-m", crashing_server.__name__, "--victim", "server"]
    deployment.start(*program, "--moment", moment)
    snapshot(deployment)
    crashing_server.arm(deployment.data)
    copy = ["mooring", "copy-snapshot", *FAR, "--source-region", "us-east-2"]
    copy += ["--source-snapshot-name", "saved", "--target-snapshot-name", "far"]
    with contextlib.suppress(DemoError):  # it may have died before it answered
        deployment.server.run(*copy)
    assert deployment.server.wait(PATIENCE), "the server lives"
    roots = (deployment.data / "vaults" / "us-west-2").glob("roots/*")
    assert len(list(roots)) == (moment == "copy:done")

    deployment.start()

    wait = ["mooring", "wait", "disk-snapshot-completed", *FAR, "--disk-snapshot-name", "far"]
    deployment.server.run(*wait)
    source = deployment.server.run("mooring", "export", "--disk-snapshot-name", "saved")
    target = deployment.server.run("mooring", "export", *FAR, "--disk-snapshot-name", "far")
    assert compared(source.output.strip(), target.output.strip()) >= sum(PIECES.values())


def compared(source: str, target: str) -> int:
    """Compare all that either has; returns how many bytes that were."""
    places: set[int] = set()
    with BlockingNbdClient(source) as one, BlockingNbdClient(target) as other:
        assert one.info.size == other.info.size
        for client in (one, other):
            for offset, extent in client.map():
                if not extent.flags & STATUS_ZERO:
                    places |= set(range(offset // MIB, -(-(offset + extent.length) // MIB)))
        for place in sorted(places):
            assert one.read(place * MIB, MIB) == other.read(place * MIB, MIB), f"at {place} MiB"
    return len(places) * MIB
