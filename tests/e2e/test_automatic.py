"""Automatic snapshots of real disks in use, of an instance and of a disk."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e import time_server
from tests.e2e.crew import Asked
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import PATIENCE, until
from tests.e2e.test_instance_snapshots import DISKS, uris, writer_on

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
