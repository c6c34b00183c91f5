"""Disks grow while they are written: no error comes, and snapshots hold what they must."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mooring.model.errors import NbdError
from mooring.model.extents import GIB
from mooring.nbd.blocking import BlockingNbdClient
from mooring.nbd.uri import parse_uri
from tests.conftest import find_tool
from tests.e2e.client import RefusedError
from tests.e2e.crew import Asked
from tests.e2e.deployment import Deployment
from tests.e2e.processes import until

pytestmark = [pytest.mark.full, pytest.mark.requires("qemu-storage-daemon")]

RATE = 300
SIZES = (9, 10, 16, 17)
BLOCKS = 8 * GIB // 4096
RANGES = (range(1024), range(BLOCKS - 1024, BLOCKS))
"""Of a disk of 8 GB: the start, and the end."""
KILLS = 4


@contextlib.contextmanager
def through_qemu(folder: Path, uri: str) -> Iterator[str]:
    """The disk as QEMU shows it, which comes again by itself: its users must see no error."""
    place = parse_uri(uri)
    socket = folder / "qemu.sock"
    source = f"driver=nbd,server.type=unix,server.path={place.socket},export={place.export}"
    command = [find_tool("qemu-nbd"), "--image-opts", f"{source},reconnect-delay=60"]
    command += ["--socket", str(socket), "--persistent", "--shared=8", "--export-name=disk"]
    process = subprocess.Popen(command)
    try:
        until(socket.exists, "qemu-nbd to start")
        yield f"nbd+unix:///disk?socket={socket}"
    finally:
        process.terminate()
        process.wait(30)


def size_of(uri: str) -> int:
    with BlockingNbdClient(uri) as client:
        return client.info.size


@pytest.mark.requires("qemu-nbd")
def test_a_writer_goes_on_while_its_disk_grows(deployment: Deployment) -> None:
    deployment.start()
    uri = deployment.used_disk()
    taken: list[Asked] = []
    with through_qemu(deployment.folder, uri) as shown:
        strict = deployment.crew(shown, RANGES[0], rate=RATE, strict=True)
        crew = deployment.crew(uri, RANGES[1], rate=RATE)
        for size_gb in SIZES:
            taken.append(deployment.snapshot(f"before{size_gb}"))
            deployment.grow("data", size_gb)
            taken.append(deployment.snapshot(f"after{size_gb}"))
            assert size_of(uri) == size_gb * GIB
            for one in (strict, crew):
                one.go_on(taken[-1].replied)
            states = deployment.ended(f"before{size_gb}", f"after{size_gb}")
            assert set(states) == {"completed"}
        past = deployment.crew(uri, range(BLOCKS, BLOCKS + 1024), rate=RATE)
        taken.append(deployment.snapshot("past"))

        assert deployment.ended("past") == ["completed"]
        sizes = {one["name"]: one["sizeInGb"] for one in snapshots(deployment)}
        before = [8, *SIZES[:-1]]
        assert [sizes[f"before{size_gb}"] for size_gb in SIZES] == before
        assert [sizes[f"after{size_gb}"] for size_gb in SIZES] == list(SIZES)
        deployment.check(past, taken[-1], size_gb=SIZES[-1])
        # A few, for all disks made of them are read whole.
        some = [taken[0], taken[3], taken[4], taken[-2]]
        for one in (strict, crew):
            deployment.check(one, *some, size_gb=SIZES[-1])
        assert all(one.stop() for one in (strict, crew, past))


def snapshots(deployment: Deployment) -> list[dict[str, object]]:
    return list(deployment.call("GetDiskSnapshots")["diskSnapshots"])


def test_whatever_is_killed_while_a_disk_grows(deployment: Deployment) -> None:
    chance = random.Random(3)
    deployment.start()
    uri = deployment.used_disk()
    crew = deployment.crew(uri, *RANGES, rate=RATE, durable=True)
    taken = []
    for number in range(1, KILLS + 1):
        deployment.act("grow", diskName="data", sizeInGb=8 + number)
        time.sleep(chance.choice((0.0, 0.002, 0.01, 0.05)))
        if number % 3:
            deployment.server.kill()
            deployment.start()
        else:
            for pid in deployment.daemons().values():
                os.kill(pid, signal.SIGKILL)
        # What was recorded is done, whoever dies.
        deployment.until_disk("data", "sizeInGb", 8 + number)
        until(functools.partial(reaches, uri, (8 + number) * GIB), "the disk to be served")
        with contextlib.suppress(RefusedError):  # a daemon may be on its way back
            taken.append(deployment.snapshot(f"s{number}"))

    assert deployment.statuses("data").count("Failed") == 0
    assert set(deployment.ended(*[asked.name for asked in taken])) == {"completed"}
    deployment.check(crew, *taken[-2:], size_gb=8 + KILLS)
    assert crew.stop()


def reaches(uri: str, size: int) -> bool:
    """Whether the disk is served, as large as it must be."""
    with contextlib.suppress(NbdError):
        return size_of(uri) == size
    return False
