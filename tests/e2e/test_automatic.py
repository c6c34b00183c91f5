"""Automatic snapshots of real disks in use, of an instance and of a disk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e import time_server
from tests.e2e.crew import Asked
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.ordered_writer import DISKS, uris, writer_on
from tests.e2e.processes import PATIENCE, until
from tests.e2e.test_snapshot_files import bring, file_system, mooring

pytestmark = [pytest.mark.full, pytest.mark.usefixtures("importable_tests")]

BEARERS = ("host", "data")
"""The instance that has all disks, and one of these."""

ROUND_HOURS = 50
"""After so long whatever is taken every day is due, and it is another day."""


class Days:
    """The server, and the time that passes for it."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._hours = 0
        self.start()

    def start(self) -> None:
        self.deployment.start(sys.executable, "-m", time_server.__name__)

    def pass_by(self, hours: int) -> None:
        self._hours += hours
        time_server.move(self.deployment.data, self._hours)

    def automatic(self, name: str) -> list[Mapping[str, Any]]:
        """The automatic snapshots, newest first."""
        answer = self.deployment.call("GetAutoSnapshots", resourceName=name)
        return list(answer["autoSnapshots"])

    def wait(self, reached: Callable[[Mapping[str, Any]], bool], count: int, what: str) -> None:
        """Wait until each has so many, and the newest is as wanted.

        What a kill made fail is tried again in five minutes, so time goes on.
        """
        looked = time.monotonic()

        def all_have() -> bool:
            nonlocal looked
            if time.monotonic() - looked > PATIENCE / 4:
                looked = time.monotonic()
                self.pass_by(1)
            # The days between were missed, for the server's clock has jumped.
            found = [
                [one for one in self.automatic(name) if one["status"] != "Failed"]
                for name in BEARERS
            ]
            return all(len(one) == count and reached(one[0]) for one in found)

        until(all_have, what, 2 * PATIENCE)


def from_automatic(deployment: Deployment, date: str) -> dict[str, str]:
    """An instance made from the automatic snapshot of the day; the URIs of its disks."""
    name = f"from-{date}"
    deployment.call(
        "CreateInstancesFromSnapshot",
        instanceNames=[name],
        sourceInstanceName="host",
        restoreDate=date,
        availabilityZone=ZONE,
        bundleId="external",
    )
    return uris(deployment, name)


def disk_from_automatic(deployment: Deployment, date: str) -> str:
    """A disk made from the automatic snapshot of the day; its URI."""
    name = f"data-{date}"
    deployment.call(
        "CreateDiskFromSnapshot",
        diskName=name,
        sourceDiskName="data",
        restoreDate=date,
        availabilityZone=ZONE,
        sizeInGb=8,
    )
    deployment.until_disk(name, "state", "available")
    return deployment.attach(name, "reader")


def test_each_day_is_of_one_instant_whatever_is_killed(deployment: Deployment) -> None:
    days = Days(deployment)
    deployment.instance("reader")
    writer = writer_on(deployment)
    rounds: list[tuple[dict[str, str], Asked]] = []
    try:
        for name in BEARERS:
            add_on = {"addOnType": "AutoSnapshot"}
            deployment.call("EnableAddOn", resourceName=name, addOnRequest=add_on)
        for count, killed in enumerate((False, True, False), 1):
            writer.go_on()
            requested = time.monotonic()
            days.pass_by(ROUND_HOURS)
            if killed:
                days.wait(lambda _: True, count, "both to be begun")
                deployment.server.kill()
                days.start()
            days.wait(lambda one: one["status"] == "Success", count, "both to be stored")
            dates = {name: str(days.automatic(name)[0]["date"]) for name in BEARERS}
            rounds.append((dates, Asked(f"day {count}", requested, time.monotonic())))
    finally:
        writer.stop()

    lasts = []
    for dates, asked in rounds:
        lasts.append(writer.check(from_automatic(deployment, dates["host"]), asked))
        writer.check({"data": disk_from_automatic(deployment, dates["data"])}, asked)
    assert lasts == sorted(set(lasts))
    (newest, *_) = days.automatic("host")
    assert [one["sizeInGb"] for one in newest["fromAttachedDisks"]] == [8] * len(DISKS)
    assert days.deployment.states() == {}, "they have names"


@pytest.mark.requires("mke2fs")
def test_a_file_of_last_night_and_a_night_that_failed(deployment: Deployment) -> None:
    tree, image = deployment.folder / "tree", deployment.folder / "image"
    tree.mkdir()
    (tree / "hosts").write_bytes(b"127.0.0.1 localhost\n")
    file_system("ext4", tree, image)
    days = Days(deployment)
    bring(deployment, image, "base")
    origin = {"diskSnapshotName": "base", "availabilityZone": ZONE, "sizeInGb": 8}
    deployment.call("CreateDiskFromSnapshot", diskName="data", **origin)
    deployment.until_disk("data", "state", "available")
    # A machine without an agent cannot be brought to rest.
    deployment.instance("machine")
    deployment.attach("data", "machine")
    require = {"key": "mooring:quiesce", "value": "require"}
    daily = {"key": "mooring:snapshots", "value": "daily keep 1 week"}
    deployment.call("TagResource", resourceName="data", tags=[require, daily])
    days.pass_by(ROUND_HOURS)

    def stat() -> str:
        return mooring(deployment, "stat", "--disk-name", "data").stdout

    until(lambda: "requires its users to be at rest" in stat(), "a failed one", PATIENCE)
    assert "no automatic snapshot, wanted every day; the last failure" in stat()
    assert "Failed" in {one["status"] for one in days.automatic("data")}
    doctor = subprocess.run(
        [sys.executable, "-m", "mooring.admin.main", "doctor", "--data", str(deployment.data)],
        env=deployment.server.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "BAD  disk data in us-east-2: there is no automatic snapshot" in doctor.stdout
    assert doctor.returncode == 1

    deployment.call("UntagResource", resourceName="data", tagKeys=["mooring:quiesce"])
    days.pass_by(1)
    until(
        lambda: days.automatic("data")[0]["status"] == "Success", "one to be stored", 2 * PATIENCE
    )
    usage = mooring(deployment, "usage").stdout.split()
    (name,) = {word for word in usage if word.startswith("data@")}
    for wanted in (name, "data@latest", f"data@{days.automatic('data')[0]['date']}"):
        listing = mooring(deployment, "ls", f"{wanted}:/")
        assert " hosts\n" in listing.stdout, listing.stderr
        assert name in mooring(deployment, "stat", "--disk-snapshot-name", wanted).stdout
    copied = mooring(deployment, "cp", "data@latest:/hosts", str(deployment.folder / "copy"))
    assert copied.returncode == 0, copied.stderr
    assert (deployment.folder / "copy").read_bytes() == b"127.0.0.1 localhost\n"
    output = deployment.folder / "exported"
    exported = mooring(
        deployment, "export", "--disk-snapshot-name", "data@latest", "--output", str(output)
    )
    assert exported.returncode == 0, exported.stderr
    assert output.stat().st_size == 8 << 30
    days.pass_by(24)
    listing = mooring(deployment, "ls", "data@yesterday:/")
    assert " hosts\n" in listing.stdout, listing.stderr
