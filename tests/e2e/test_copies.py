"""Copies between regions, against real disks and directories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import Deployment
from tests.e2e.test_restore import check, serve, snapshot

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
