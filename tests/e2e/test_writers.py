"""Snapshots of disks that are being written hold exactly what they must."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mooring.admin.demo.server import DemoError
from tests.e2e.client import RefusedError
from tests.e2e.crew import Asked, Crew
from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.full

SNAPSHOTS = 24
BATCH = 8
RATE = 400
DISK_BLOCKS = 8 * 1024**3 // 4096

# Neighbours, one that crosses the borders of clusters and of map pages, and the disk's end.
RANGES = (range(1024), range(1024, 2048), range(16_000, 17_000))
OTHER_RANGES = (range(DISK_BLOCKS - 1024, DISK_BLOCKS),)


def test_snapshots_at_random_moments_are_exact(deployment: Deployment) -> None:
    deployment.start()
    crews = {
        "data": deployment.crew(deployment.used_disk("data"), *RANGES, rate=RATE, strict=True),
        "logs": deployment.crew(
            deployment.used_disk("logs"), *OTHER_RANGES, rate=RATE, strict=True
        ),
    }

    taken, most_pending = take_at_random(deployment)

    assert most_pending >= 2
    for start in range(0, SNAPSHOTS, BATCH):
        check(deployment, crews, taken[start : start + BATCH])
    tell_apart(deployment, crews["data"], [asked for asked, disk in taken if disk == "data"])
    assert all(crew.stop() for crew in crews.values())


def take_at_random(deployment: Deployment) -> tuple[list[tuple[Asked, str]], int]:
    """Snapshots with their disks, and how many were pending at once."""
    choices = random.Random(20)
    plan = [
        (f"s{number}", choices.choice(["data", "data", "logs"]), number % 6 == 5)
        for number in range(SNAPSHOTS)
    ]
    most = 0
    with ThreadPoolExecutor(3) as pool:
        waiting = []
        for name, disk, by_command in plan:
            waiting.append((pool.submit(take, deployment, name, disk, by_command), disk))
            time.sleep(choices.choice([0.0, 0.0, choices.random() * 0.6]))
            most = max(most, list(deployment.states().values()).count("pending"))
        return [(one.result(), disk) for one, disk in waiting], most


def take(deployment: Deployment, name: str, disk: str, by_command: bool) -> Asked:
    """One snapshot; when too many are pending, a little later."""
    while True:
        try:
            if not by_command:
                return deployment.snapshot(name, disk)
            words = f"create-disk-snapshot --disk-name {disk} --disk-snapshot-name {name}"
            ran = deployment.server.run("mooring", *words.split())
            return Asked(name, ran.began, ran.ended)
        except (RefusedError, DemoError) as error:
            if "pending snapshots, which is the limit" not in str(error):
                raise
            time.sleep(0.3)


def check(deployment: Deployment, crews: dict[str, Crew], taken: list[tuple[Asked, str]]) -> None:
    """Restore all, and compare each with what its disk's writers had written."""
    names = [asked.name for asked, _ in taken]
    assert set(deployment.ended(*names)) == {"completed"}
    with deployment.restored(*names) as uris:
        for (asked, disk), uri in zip(taken, uris, strict=True):
            verdict = crews[disk].compare(uri, asked)
            assert verdict.ok, f"{asked.name} of {disk}: {verdict.wrong}"
            assert verdict.written > 0


def tell_apart(deployment: Deployment, crew: Crew, taken: list[Asked]) -> None:
    """The check itself: a snapshot does not pass for an earlier or a later one."""
    first, last = taken[0], taken[-1]
    with deployment.restored(first.name, last.name) as (first_uri, last_uri):
        assert not crew.compare(first_uri, last).ok
        assert not crew.compare(last_uri, first).ok
