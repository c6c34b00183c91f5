"""Whatever is killed at whatever moment: disks, snapshots and their successors are right."""

from __future__ import annotations

import sys
import time

import pytest

from tests.e2e import crashing_server
from tests.e2e.client import RefusedError
from tests.e2e.crashing_server import JOB_MOMENTS, REQUEST_MOMENTS
from tests.e2e.crew import Asked, Crew
from tests.e2e.deployment import Deployment
from tests.e2e.moments import ARMED
from tests.e2e.processes import PATIENCE, until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

BLOCKS = range(1000, 1600)
RATE = 400

TAKEN_BACK = {
    ("server", "request:reserved"),
    ("server", "request:prepared"),
    ("both", "request:reserved"),
}
"""Where nobody can know that the disk was frozen, for it was not. Everywhere else a snapshot
that had no answer completes all the same."""

PENDING_MOMENTS = (
    "request:prepared",
    "request:switched",
    "store:begin",
    "store:written",
    "release:begin",
    "release:done",
    "store:done",
)


@pytest.mark.parametrize("moment", [*REQUEST_MOMENTS, *JOB_MOMENTS])
def test_server_killed(deployment: Deployment, moment: str) -> None:
    crew = prepare(deployment, "server", moment, strict=True)
    daemons = deployment.daemons()

    asked = ask_and_die(deployment)

    crew.go_on(time.monotonic())
    deployment.start()
    assert deployment.daemons() == daemons, "the storage daemons were not adopted"
    check_what_became_of_it(deployment, crew, asked, ("server", moment))
    assert crew.stop()


@pytest.mark.parametrize("moment", PENDING_MOMENTS)
def test_storage_daemon_killed(deployment: Deployment, moment: str) -> None:
    crew = prepare(deployment, "daemon", moment, durable=True)
    daemons = deployment.daemons()

    if moment == "request:prepared":
        with pytest.raises(RefusedError, match="OperationFailureException"):
            deployment.snapshot("crashed")
        assert "crashed" not in deployment.states()
    asked = deployment.snapshot("crashed")
    until(lambda: not (deployment.data / ARMED).exists(), "the kill")
    crew.go_on(time.monotonic())
    assert not set(deployment.daemons().values()) & set(daemons.values()), "it was not killed"
    check_both(deployment, crew, asked)
    assert crew.stop()


@pytest.mark.parametrize("moment", PENDING_MOMENTS)
def test_both_killed(deployment: Deployment, moment: str) -> None:
    crew = prepare(deployment, "both", moment, durable=True)

    asked = ask_and_die(deployment)

    until(lambda: not deployment.daemons(), "the storage daemon to be dead")
    deployment.start()
    crew.go_on(time.monotonic())
    check_what_became_of_it(deployment, crew, asked, ("both", moment))
    assert crew.stop()


def test_restarted_server_adopts_its_daemons(deployment: Deployment) -> None:
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), BLOCKS, rate=RATE, strict=True)
    before = deployment.snapshot("before")
    daemons = deployment.daemons()
    for cleanly in (True, False):
        if cleanly:
            deployment.server.stop()
        else:
            deployment.server.kill()
        crew.go_on(time.monotonic())
        deployment.start()
        assert deployment.daemons() == daemons

    after = deployment.snapshot("after")

    assert deployment.ended("before", "after") == ["completed"] * 2
    assert deployment.server.ask("snapshot", diskSnapshotName="after")["parentName"] == "before"
    deployment.check(crew, before, after)
    assert crew.stop()


def test_server_killed_with_several_pending(deployment: Deployment) -> None:
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), BLOCKS, rate=RATE, strict=True)
    taken: list[Asked] = []
    were_pending = 0
    for turn in range(3):
        asked = [deployment.snapshot(f"s{turn}-{number}") for number in range(3)]
        were_pending += list(deployment.states().values()).count("pending")
        deployment.server.kill()
        crew.go_on(time.monotonic())
        deployment.start()
        assert set(deployment.ended(*[one.name for one in asked])) == {"completed"}
        taken += asked

    assert were_pending, "each time all were completed before the server was killed"
    deployment.check(crew, *taken)
    assert crew.stop()


def prepare(deployment: Deployment, victim: str, moment: str, **writing: bool) -> Crew:
    """A disk in use, with a snapshot that the next one builds on, on a server that kills."""
    program = [sys.executable, "-m", crashing_server.__name__]
    deployment.start(*program, "--victim", victim, "--moment", moment)
    crew = deployment.crew(deployment.used_disk(), BLOCKS, rate=RATE, **writing)
    deployment.snapshot("parent")
    assert deployment.ended("parent") == ["completed"]
    crashing_server.arm(deployment.data)
    return crew


def ask_and_die(deployment: Deployment) -> Asked:
    """Ask for the snapshot that the server does not live to complete."""
    requested = time.monotonic()
    try:
        return deployment.snapshot("crashed")
    except ConnectionError:
        # Without an answer, the end of the server is the last moment at which it can have frozen.
        assert deployment.server.wait(PATIENCE), "the server lives"
        return Asked("crashed", requested, time.monotonic())
    finally:
        assert deployment.server.wait(PATIENCE), "the server lives"


def check_what_became_of_it(
    deployment: Deployment, crew: Crew, asked: Asked, death: tuple[str, str]
) -> None:
    """The snapshot is right, or was taken back and leaves its name for another try."""
    if death in TAKEN_BACK:
        assert asked.name not in deployment.states()
        with pytest.raises(RefusedError, match="NotFoundException"):
            deployment.statuses(asked.name)
        asked = deployment.snapshot(asked.name)
    check_both(deployment, crew, asked)


def check_both(deployment: Deployment, crew: Crew, asked: Asked) -> None:
    """The snapshot completes, and it and the next one are right."""
    assert deployment.ended(asked.name) == ["completed"]
    assert deployment.statuses(asked.name) == ["Succeeded"]
    after = deployment.snapshot("next")
    assert deployment.ended("next") == ["completed"]
    deployment.check(crew, asked, after)
