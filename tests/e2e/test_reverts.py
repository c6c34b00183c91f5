"""Reverted disks hold the snapshot, and what they held is stored, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.demo.server import DemoError
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.client import RefusedError
from tests.e2e.crew import Asked, Crew
from tests.e2e.deployment import Deployment
from tests.e2e.moments import ARMED
from tests.e2e.processes import until
from tests.e2e.restoring_server import REVERT_MOMENTS, VICTIMS
from tests.mounts import MIB, file_system

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

RATE = 400
RANGES = (range(1024), range(16_000, 17_000))


@pytest.fixture(params=["ext4", "xfs"])
def on_file_system(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[Deployment]:
    with file_system(run_dir / "m", request.param, 2048 * MIB) as folder:
        deployment = Deployment(folder)
        try:
            yield deployment
        finally:
            deployment.close()


def revert(deployment: Deployment, to: str, *more: str, disk: str = "data") -> str | None:
    """Revert the disk by command, as soon as its clients are gone; returns what it kept."""
    command = ["mooring", "revert", "--disk-name", disk, "--disk-snapshot-name", to, *more]
    answers: list[dict[str, Any]] = []

    def done() -> bool:
        try:
            answers.append(json.loads(deployment.server.run(*command).output))
        except DemoError as error:
            if "is connected to it" not in str(error):
                raise
            return False
        return True

    until(done, "the disk to be free of clients")
    kept: str | None = answers[0]["keptSnapshotName"]
    return kept


def check(crew: Crew, uri: str, asked: Asked) -> None:
    """Compare all of a disk with what its writers had written when a snapshot was asked for."""
    verdict = crew.compare(uri, asked)
    assert verdict.ok, f"{asked.name}: {verdict.wrong}"
    assert verdict.written > 0


@pytest.mark.requires("mkfs.ext4", "mkfs.xfs")
def test_reverts_are_exact_there_and_back(on_file_system: Deployment) -> None:
    deployment = on_file_system
    deployment.start()
    uri = deployment.used_disk()
    crew = deployment.crew(uri, *RANGES, rate=RATE, strict=True)
    first = deployment.snapshot("first")
    second = deployment.snapshot("second")
    assert deployment.ended("first", "second") == ["completed", "completed"]
    with pytest.raises(DemoError, match=r"in use.* \(process \d+\).* is connected"):
        deployment.server.run(
            "mooring", "revert", "--disk-name", "data", "--disk-snapshot-name", "first"
        )
    assert crew.stop()
    last = deployment.snapshot("last")

    kept = revert(deployment, "first")

    assert kept is not None
    assert str(deployment.server.ask("uri", diskName="data")["uri"]) == uri
    check(crew, uri, first)
    # Again, before the disk is filled perhaps; and by a name of one's own.
    assert revert(deployment, "second", "--kept-snapshot-name", "as-first") == "as-first"
    check(crew, uri, second)
    assert deployment.ended("last", kept, "as-first") == ["completed"] * 3
    for name, asked in ((kept, last), ("as-first", first)):
        deployment.check(crew, Asked(name, asked.requested, asked.replied))
    # And back to what the first one kept; nothing is kept this time.
    assert revert(deployment, kept, "--discard", "--wait") is None
    check(crew, uri, last)
    assert deployment.server.ask("disk", diskName="data")["filled"]
    twin = deployment.crew(uri, range(30_000, 31_000), rate=RATE)
    after = deployment.snapshot("after")
    assert deployment.ended("after") == ["completed"]
    deployment.check(twin, after)
    told = deployment.server.ask("snapshot", diskSnapshotName="after")
    assert told["parentName"] == kept
    assert told["changedBytes"] < 8 * MIB
    assert twin.stop()
    # A fork goes to the snapshots of the disk that it is a fork of, of before and since.
    deployment.server.run("mooring", "fork", "--disk-name", "data", "--new-disk-name", "fork")
    revert(deployment, "first", "--discard", disk="fork")
    deployment.instance("reader")
    fork = deployment.attach("fork", "reader")
    check(crew, fork, first)
    newer = deployment.snapshot("newer")
    assert deployment.ended("newer") == ["completed"]
    assert revert(deployment, "newer", "--wait", disk="fork") is not None
    check(twin, fork, newer)


PIECES = {place * MIB: 4 * MIB for place in (0, 7, 300, 2048, 5000, 8188)}
"""What the disk holds: position to length."""


def noise(position: int, turn: int) -> bytes:
    return random.Random(position * 31 + turn).randbytes(PIECES[position])


def write(uri: str, turn: int) -> None:
    with BlockingNbdClient(uri) as client:
        for position in PIECES:
            client.write(position, noise(position, turn))
        client.flush()


def turn_of(uri: str) -> int:
    """Which of the contents the disk holds, all of it."""
    found: list[BlockingNbdClient] = []

    def connected() -> bool:
        with contextlib.suppress(Exception):
            found.append(BlockingNbdClient(uri))
        return bool(found)

    until(connected, "the disk to be served")
    with found[0] as client:
        held = {position: client.read(position, length) for position, length in PIECES.items()}
        for gap in (5, 200, 4000):
            assert client.read(gap * MIB, MIB) == bytes(MIB)
    turns = [
        turn
        for turn in range(4)
        if all(held[position] == noise(position, turn) for position in PIECES)
    ]
    assert len(turns) == 1, "a mixture"
    return turns[0]


def serve(deployment: Deployment, moment: str = "", victim: str = "server") -> None:
    more = ["--moment", moment, "--victim", victim, "--fill-mib", "12"]
    deployment.start(sys.executable, "-m", "tests.e2e.restoring_server", *more)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("moment", REVERT_MOMENTS)
def test_killed_at_every_step(deployment: Deployment, moment: str, victim: str) -> None:
    serve(deployment, moment, victim)
    uri = deployment.used_disk()
    write(uri, 1)
    deployment.snapshot("saved")
    assert deployment.ended("saved") == ["completed"]
    write(uri, 2)
    (deployment.data / ARMED).touch()

    def asked() -> bool:
        try:
            deployment.act(
                "revert", diskName="data", diskSnapshotName="saved", keptSnapshotName="kept"
            )
        except RefusedError:
            return False
        except (OSError, ConnectionError):
            return True
        return True

    until(asked, "the disk to be free of clients")
    until(lambda: not (deployment.data / ARMED).exists(), "the kill")
    deployment.server.wait(30)

    deployment.start()

    reverted = turn_of(uri) == 1
    assert reverted == (REVERT_MOMENTS.index(moment) >= REVERT_MOMENTS.index("revert:switched"))
    assert ("kept" in deployment.states()) == reverted
    if not reverted:
        assert turn_of(uri) == 2
        revert(deployment, "saved", "--kept-snapshot-name", "kept")
    assert turn_of(uri) == 1
    assert deployment.ended("kept") == ["completed"]
    with deployment.restored("kept") as (restored,):
        assert turn_of(restored) == 2
    deployment.server.run("mooring", "wait", "disk-filled", "--disk-name", "data")
    assert turn_of(uri) == 1
    write(uri, 3)
    deployment.snapshot("next")
    assert deployment.ended("next") == ["completed"]
    assert deployment.server.ask("snapshot", diskSnapshotName="next")["parentName"] == "saved"
    disks = deployment.data / "zones" / "us-east-2a" / "disks"
    (folder,) = disks.iterdir()
    until(lambda: not (folder / "base.raw").exists(), "the past to go")
