"""Instance snapshots of disks in use hold all disks at one instant, whatever is killed."""

from __future__ import annotations

import contextlib
import random
import sys
import time

import pytest

from tests.e2e import crashing_server
from tests.e2e.crew import Asked
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.ordered_writer import DISKS, uris, writer_on
from tests.e2e.processes import PATIENCE, until

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

SNAPSHOTS = 8


def take(deployment: Deployment, name: str) -> Asked:
    requested = time.monotonic()
    answer = deployment.call(
        "CreateInstanceSnapshot", instanceName="host", instanceSnapshotName=name
    )
    replied = time.monotonic()
    assert [one["status"] for one in answer["operations"]] == ["Started", "Started"]
    return Asked(name, requested, replied)


def state(deployment: Deployment, name: str) -> str:
    answer = deployment.call("GetInstanceSnapshot", instanceSnapshotName=name)
    return str(answer["instanceSnapshot"]["state"])


def restored(deployment: Deployment, name: str) -> dict[str, str]:
    """An instance made from the snapshot; returns the URIs of its disks."""
    until(lambda: state(deployment, name) != "pending", f"{name} to end", 2 * PATIENCE)
    assert state(deployment, name) == "available"
    instance = f"from-{name}"
    deployment.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[instance],
        instanceSnapshotName=name,
        availabilityZone=ZONE,
        bundleId="external",
    )
    return uris(deployment, instance)


def discard(deployment: Deployment, name: str) -> None:
    """Delete the instance made from the snapshot, and its disks."""
    deployment.call("DeleteInstance", instanceName=f"from-{name}")
    for disk in DISKS:
        deployment.until_disk(f"from-{name}-{disk}", "attachmentState", "detached")
        deployment.call("DeleteDisk", diskName=f"from-{name}-{disk}")


def test_all_disks_are_of_one_instant(deployment: Deployment) -> None:
    deployment.start()
    writer = writer_on(deployment)
    choices = random.Random(41)
    try:
        taken = []
        for number in range(SNAPSHOTS):
            taken.append(take(deployment, f"s{number}"))
            time.sleep(choices.choice([0.0, choices.random() * 0.3]))
            if number % 4 == 3:
                until(lambda: state(deployment, taken[-1].name) != "pending", "the last to end")
                writer.go_on()
    finally:
        writer.stop()

    lasts = []
    for asked in taken:
        lasts.append(writer.check(restored(deployment, asked.name), asked))
        discard(deployment, asked.name)
    assert lasts == sorted(lasts)
    assert lasts[-1] > lasts[0] > 0
    cost = deployment.server.ask("instance-snapshot", instanceSnapshotName="s7")
    assert [part["incremental"] for part in cost["parts"]] == [True] * len(DISKS)
    assert 0 < cost["pauseSeconds"] < PATIENCE


def test_of_a_stopped_instance(deployment: Deployment) -> None:
    deployment.start()
    writer = writer_on(deployment)
    writer.stop()
    deployment.call("StopInstance", instanceName="host")
    until(lambda: deployment._instance_state("host") == "stopped", "the instance to stop")

    asked = take(deployment, "stopped")

    assert writer.check(restored(deployment, "stopped"), asked) == writer.written - 1


@pytest.mark.parametrize(
    ("victim", "moment"),
    [
        ("server", "request:prepared"),
        ("server", "request:switched"),
        ("both", "request:prepared"),
        ("both", "request:switched"),
        ("server", "request:frozen"),
        ("server", "store:written"),
        ("both", "store:done"),
        ("server", "store:recorded"),
    ],
)
def test_killed_it_is_of_one_instant_or_not_at_all(
    deployment: Deployment, victim: str, moment: str
) -> None:
    program = [sys.executable, "-m", crashing_server.__name__]
    deployment.start(*program, "--victim", victim, "--moment", moment)
    writer = writer_on(deployment)
    crashing_server.arm(deployment.data)
    requested = time.monotonic()
    try:
        asked = take(deployment, "crashed")
    except ConnectionError:
        asked = Asked("crashed", requested, time.monotonic())
    assert deployment.server.wait(PATIENCE), "the server lives"
    # Without an answer, the end of the server is the last moment at which it can have frozen.
    if moment.startswith("request:"):
        asked = Asked("crashed", requested, time.monotonic())
    if victim == "server":
        writer.go_on()
    writer.stop()

    deployment.start()

    listed = deployment.call("GetInstanceSnapshots")["instanceSnapshots"]
    taken_back = "crashed" not in [one["name"] for one in listed]
    assert taken_back == ((victim, moment) == ("server", "request:prepared"))
    if taken_back:
        asked = take(deployment, "crashed")
    writer.check(restored(deployment, "crashed"), asked)
    after = take(deployment, "next")
    assert writer.check(restored(deployment, "next"), after) >= 1


@pytest.mark.parametrize("victim", ["server", "both"])
@pytest.mark.parametrize("moment", crashing_server.RESTORE_MOMENTS)
def test_killed_while_it_is_restored_it_is_restored(
    deployment: Deployment, victim: str, moment: str
) -> None:
    program = [sys.executable, "-m", crashing_server.__name__]
    deployment.start(*program, "--victim", victim, "--moment", moment)
    writer = writer_on(deployment)
    asked = take(deployment, "saved")
    writer.stop()
    until(lambda: state(deployment, "saved") == "available", "the snapshot to be stored")
    crashing_server.arm(deployment.data)
    with contextlib.suppress(ConnectionError):  # it may die before it has answered
        deployment.call(
            "CreateInstancesFromSnapshot",
            instanceNames=["from-saved"],
            instanceSnapshotName="saved",
            availabilityZone=ZONE,
            bundleId="external",
        )
    assert deployment.server.wait(PATIENCE), "the server lives"

    deployment.start()

    until(lambda: deployment._instance_state("from-saved") == "running", "the instance to run")
    writer.check(uris(deployment, "from-saved"), asked)
    assert deployment.statuses("from-saved") == ["Succeeded"]
    until(
        lambda: deployment.server.ask("disk", diskName="from-saved-data")["filled"],
        "the disk to be filled",
    )
