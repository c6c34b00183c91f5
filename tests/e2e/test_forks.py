"""Forks of disks that are being written hold one instant, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.admin.demo.server import DemoError
from mooring.host.processes.lasting_process import LastingProcess
from tests.e2e.crew import Asked, Crew
from tests.e2e.deployment import Deployment
from tests.e2e.ordered_writer import DISKS, uris, writer_on
from tests.mounts import MIB, file_system

pytestmark = [pytest.mark.full, pytest.mark.requires("mkfs.ext4", "mkfs.xfs")]

RATE = 400
RANGES = (range(1024), range(16_000, 17_000))
TAGS = ["--tags", "key=mooring:shared,value=true"]


@pytest.fixture(params=["ext4", "xfs"])
def deployment(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[Deployment]:
    """On a file system without reflinks, and on one with them."""
    with file_system(run_dir / "m", request.param, 2048 * MIB) as folder:
        deployment = Deployment(folder)
        try:
            yield deployment
        finally:
            deployment.close()


def fork(deployment: Deployment, name: str, *more: str, disk: str = "data") -> Asked:
    """Fork the disk by command."""
    command = ["mooring", "fork", "--disk-name", disk, "--new-disk-name", name, *TAGS, *more]
    ran = deployment.server.run(*command)
    operations = json.loads(ran.output)["operations"]
    assert [one["operationType"] for one in operations[:2]] == ["ForkDisk", "ForkDisk"]
    return Asked(name, ran.began, ran.ended)


def end(pid: int) -> None:
    """Kill a daemon, with all its threads: what is asked of one that is dying is refused."""
    process = LastingProcess(pid, os.pidfd_open(pid))
    process.kill()
    assert process.wait(30)
    process.close()


def check(deployment: Deployment, crew: Crew, forked: Asked) -> None:
    """Use the fork, and compare what it holds with what the disk's writers had written."""
    deployment.instance("reader")
    uri = deployment.attach(forked.name, "reader")
    verdict = crew.compare(uri, forked)
    assert verdict.ok, f"{forked.name}: {verdict.wrong}"
    assert verdict.written > 0


def waited(deployment: Deployment, *names: str) -> None:
    for name in names:
        deployment.server.run("mooring", "wait", "disk-filled", "--disk-name", name)


def test_forks_of_a_disk_in_use_are_exact(deployment: Deployment) -> None:
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), *RANGES, rate=RATE, strict=True)
    first = fork(deployment, "first")
    deployment.snapshot("saved")
    second = fork(deployment, "second", "--disk-snapshot-name", "kept")
    third = fork(deployment, "third", "--wait")

    for one in (first, second, third):
        check(deployment, crew, one)
    waited(deployment, "first", "second")
    assert deployment.ended("saved", "kept") == ["completed", "completed"]
    deployment.check(crew, Asked("kept", second.requested, second.replied))
    # What a fork writes is its own.
    fork(deployment, "fourth")
    deployment.instance("writer")
    twin = deployment.crew(deployment.attach("fourth", "writer"), range(4096, 5000), rate=RATE)
    snapshot = deployment.snapshot("of-fork", "fourth")
    assert deployment.ended("of-fork") == ["completed"]
    deployment.check(twin, snapshot)
    assert twin.stop()
    assert crew.stop()


def test_whatever_is_killed_while_forks_are_made(deployment: Deployment) -> None:
    chance = random.Random(5)
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), *RANGES, rate=RATE, durable=True)
    made: list[Asked] = []
    for number in range(6):
        # One that is not answered leaves none.
        with contextlib.suppress(DemoError):
            made.append(fork(deployment, f"fork{number}"))
        if number % 3 == 2:
            victim = chance.choice(list(deployment.daemons().values()))
            end(victim)
        else:
            deployment.server.kill()
            deployment.start()
        deployment.snapshot(f"between{number}")
        # No more may be pending than the limit, however slow the machine is.
        deployment.ended(*[f"between{one}" for one in range(number - 1)])

    assert made
    for one in made:
        check(deployment, crew, one)
    waited(deployment, *[one.name for one in made])
    names = {one["name"] for one in deployment.call("GetDisks")["disks"]}
    assert names == {"data", *[one.name for one in made]}
    states = deployment.ended(*[f"between{number}" for number in range(6)])
    assert set(states) == {"completed"}
    assert crew.stop()


def test_the_disk_is_deleted_while_the_fork_copies(deployment: Deployment) -> None:
    deployment.start()
    crew = deployment.crew(deployment.used_disk(), *RANGES, rate=RATE)
    forked = fork(deployment, "fork")
    assert crew.stop()
    deployment.detach("data")

    deployment.call("DeleteDisk", diskName="data")

    check(deployment, crew, forked)
    waited(deployment, "fork")
    deployment.snapshot("last", "fork")
    assert deployment.ended("last") == ["completed"]


def fork_instance(deployment: Deployment, name: str, *more: str) -> Asked:
    """Fork the instance of the ordered writer by command."""
    names = ["--instance-name", "host", "--new-instance-name", name]
    ran = deployment.server.run("mooring", "fork", *names, *more)
    made = json.loads(ran.output)["disks"]
    assert [one["diskName"] for one in made] == [f"{name}-{disk}" for disk in DISKS]
    return Asked(name, ran.began, ran.ended)


def test_forks_of_an_instance_in_use_are_of_one_instant(deployment: Deployment) -> None:
    deployment.start()
    writer = writer_on(deployment)
    try:
        first = fork_instance(deployment, "first")
        writer.go_on()
        second = fork_instance(deployment, "second", "--instance-snapshot-name", "kept", "--wait")
        writer.go_on()
    finally:
        writer.stop()

    lasts = [writer.check(uris(deployment, one.name), one) for one in (first, second)]
    assert 0 < lasts[0] < lasts[1]
    command = ["wait", "instance-snapshot-available", "--instance-snapshot-name", "kept"]
    deployment.server.run("mooring", *command)
    # An instance that is a fork is forked as well.
    again = ["--instance-name", "first", "--new-instance-name", "again", "--wait"]
    deployment.server.run("mooring", "fork", *again)
    assert writer.check(uris(deployment, "again"), first) == lasts[0]


def test_a_server_killed_while_an_instance_is_forked(deployment: Deployment) -> None:
    """Whenever it dies, there is all of the fork, which then is of one instant, or nothing."""
    chance = random.Random(11)
    deployment.start()
    writer = writer_on(deployment)
    kept = []
    try:
        for number in range(5):
            killer = threading.Timer(chance.random() * 1.5, deployment.server.kill)
            killer.start()
            requested = time.monotonic()
            with contextlib.suppress(DemoError):
                fork_instance(deployment, f"fork{number}")
            killer.join()
            asked = Asked(f"fork{number}", requested, time.monotonic())
            deployment.start()
            instances = {one["name"] for one in deployment.call("GetInstances")["instances"]}
            if asked.name in instances:
                kept.append(asked)
            writer.go_on()
    finally:
        writer.stop()

    for asked in kept:
        writer.check(uris(deployment, asked.name), asked)
    made = {f"{asked.name}-{disk}" for asked in kept for disk in DISKS}
    names = {one["name"] for one in deployment.call("GetDisks")["disks"]}
    assert names == {*DISKS, *made}
    folders = list((deployment.data / "zones").glob("*/disks/*"))
    assert len(folders) == len(names), "files are left of what was taken back"
    daemons = [name for name in deployment.daemons() if not name.startswith("merge-")]
    assert len(daemons) == 1 + len(kept)
