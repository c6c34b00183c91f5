"""Live disks outlive their catalog: entered again with content, name and instance."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mooring.admin.recovery.recover import recover
from mooring.admin.recovery.restore_catalog import restore_catalog
from mooring.config.settings import Settings
from mooring.nbd.blocking import BlockingNbdClient
from tests.e2e.deployment import ZONE, Deployment
from tests.e2e.processes import until
from tests.mounts import file_system

pytestmark = pytest.mark.full

MIB = 1024 * 1024
SLOWLY = (sys.executable, "-m", "tests.e2e.restoring_server", "--fill-mib", "1")
PLACES = (0, 7 * MIB, 5000 * MIB)
TAGS = [{"key": "mooring:snapshots", "value": "daily keep 1 week"}, {"key": "team", "value": "a"}]


def write(uri: str, seed: int) -> None:
    with BlockingNbdClient(uri) as client:
        for place in PLACES:
            client.write(place, random.Random(seed + place).randbytes(MIB))
        client.flush()


def check(uri: str, seed: int) -> None:
    with BlockingNbdClient(uri) as client:
        for place in PLACES:
            assert client.read(place, MIB) == random.Random(seed + place).randbytes(MIB)


def shown(deployment: Deployment) -> list[dict[str, Any]]:
    """The disks, without when the add-on is due next."""
    return sorted(deployment.call("GetDisks")["disks"], key=lambda one: str(one["name"]))


def described(deployment: Deployment, name: str, what: str) -> None:
    """Wait until the text is in the description of a disk of that name."""

    def there() -> bool:
        texts = [path.read_text() for path in (deployment.data / "zones" / ZONE).rglob("disk.json")]
        return any(f'"name": "{name}"' in text and what in text for text in texts)

    until(there, f"{what} beside {name}")


def settings(deployment: Deployment) -> Settings:
    return Settings(data=str(deployment.data))


def uri(deployment: Deployment, name: str) -> str:
    answer: Mapping[str, Any] = deployment.server.ask("uri", diskName=name)
    return str(answer["uri"])


def test_disks_come_back_without_a_catalog(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.start()
    write(deployment.used_disk(), 1)
    deployment.snapshot("monday")
    assert deployment.ended("monday") == ["completed"]
    deployment.call("TagResource", resourceName="data", tags=TAGS)
    deployment.call("CreateDisk", diskName="free", availabilityZone=ZONE, sizeInGb=8)
    deployment.until_disk("free", "state", "available")
    described(deployment, "data", '"team": "a"')
    described(deployment, "free", '"instance": null')
    before, daemons = shown(deployment), deployment.daemons()
    deployment.server.kill()
    for path in deployment.data.glob("catalog.sqlite*"):
        path.unlink()

    assert recover(settings(deployment)) == 0

    told = capsys.readouterr().out
    assert "2 disks recovered: data, free\n1 instance recovered: host\n" in told
    deployment.start()
    assert shown(deployment) == before
    assert deployment.daemons() == daemons
    check(uri(deployment, "data"), 1)
    deployment.snapshot("tuesday")
    assert deployment.ended("monday", "tuesday") == ["completed", "completed"]


@pytest.mark.requires("mkfs.ext4")
def test_a_fork_that_is_being_copied(run_dir: Path) -> None:
    """It has to be copied to its end, or both disks would share layers for ever."""
    with file_system(run_dir / "m", "ext4", 1024 * MIB) as folder:
        deployment = Deployment(folder)
        try:
            deployment.start(*SLOWLY)
            used = deployment.used_disk()
            with BlockingNbdClient(used) as client:
                for number in range(32):  # half a minute of copying
                    client.write((100 + number) * MIB, random.Random(number).randbytes(MIB))
            write(used, 1)
            names = ["--disk-name", "data", "--new-disk-name", "fork"]
            deployment.server.run("mooring", "fork", *names)
            described(deployment, "fork", '"instance": null')
            deployment.server.kill()
            for path in deployment.data.glob("catalog.sqlite*"):
                path.unlink()
            shared = list(deployment.data.rglob("shared"))
            assert shared

            assert recover(settings(deployment)) == 0

            deployment.start()
            until(lambda: not any(one.exists() for one in shared), "the fork to stand by itself")
            deployment.instance("reader")
            check(deployment.attach("fork", "reader"), 1)
        finally:
            deployment.close()


def test_a_copy_of_the_catalog_and_what_came_later(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.start()
    write(deployment.used_disk(), 1)
    described(deployment, "data", '"running": true')
    copies = deployment.data / "catalog-copies"
    until(lambda: bool(list(copies.glob("catalog-*.sqlite"))), "a copy")
    # Made at the first start, before there was anything.
    (copy,) = copies.glob("catalog-*.sqlite")
    assert (copies.stat().st_mode & 0o777, copy.stat().st_mode & 0o777) == (0o700, 0o600)
    deployment.snapshot("later")
    assert deployment.ended("later") == ["completed"]
    before = shown(deployment)
    deployment.server.kill()

    assert restore_catalog(settings(deployment), copy) == 0
    assert recover(settings(deployment), add=True) == 0
    capsys.readouterr()
    assert recover(settings(deployment), add=True) == 0
    assert capsys.readouterr().out == "0 snapshots recovered\n"

    deployment.start()
    assert shown(deployment) == before
    assert deployment.states() == {"later": "completed"}
    check(uri(deployment, "data"), 1)
